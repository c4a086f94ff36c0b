{{/* Names and labels. Helpers that need more than the root take (dict "root" $ "component" "gateway" …). */}}

{{- define "parsec.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "parsec.componentName" -}}
{{ include "parsec.fullname" .root }}-{{ .component }}
{{- end }}

{{/* What never changes for the pods of a component. */}}
{{- define "parsec.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* `labels` are further ones. */}}
{{- define "parsec.labels" -}}
{{- $own := dict
  "app.kubernetes.io/part-of" "parsec"
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_")) -}}
{{- $more := mustMerge (deepCopy (.labels | default dict)) (.root.Values.commonLabels | default dict) -}}
{{- toYaml (mustMergeOverwrite $more $own (include "parsec.selector" . | fromYaml)) -}}
{{- end }}

{{/* Of an object that is named after its component, or `name`. */}}
{{- define "parsec.metadata" -}}
name: {{ .name | default (include "parsec.componentName" .) }}
labels:
  {{- include "parsec.labels" . | nindent 2 }}
{{- with mustMerge (deepCopy (.annotations | default dict)) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Of a map with repository, tag and digest. */}}
{{- define "parsec.imageName" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{/* Image and pull policy of a container, which its service may replace. */}}
{{- define "parsec.image" -}}
{{- $image := mustMergeOverwrite (dict) (deepCopy .root.Values.image) (.pod.image | default dict) -}}
{{- if not $image.tag }}{{ $_ := set $image "tag" .root.Chart.AppVersion }}{{ end -}}
image: {{ include "parsec.imageName" $image }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{- define "parsec.secretName" -}}
{{ .Values.secrets.existingSecret | default (include "parsec.fullname" .) }}
{{- end }}

{{/*
The variable of a secret: `key` of the Secret of the release (or of `secret`), unless secrets.from says where it is.
`name` is the variable, if it is another than the key.
*/}}
{{- define "parsec.secretEnv" -}}
{{- $from := index (.root.Values.secrets.from | default dict) .key | default dict -}}
{{- if $from.file -}}
- name: {{ .key }}_FILE
  value: {{ $from.file | quote }}
{{- else -}}
- name: {{ .name | default .key }}
  valueFrom:
    secretKeyRef:
      name: {{ $from.secret | default .secret | default (include "parsec.secretName" .root) }}
      key: {{ $from.key | default .key }}
      {{- if and .optional (not $from) }}
      optional: true
      {{- end }}
{{- end }}
{{- end }}

{{- define "parsec.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else -}}
{{ .Values.serviceAccount.create | ternary (include "parsec.fullname" .) "default" }}
{{- end -}}
{{- end }}
