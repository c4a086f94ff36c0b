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

{{- define "parsec.labels" -}}
{{ include "parsec.selector" . }}
app.kubernetes.io/part-of: parsec
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "parsec.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "parsec.secretName" -}}
{{ .Values.secrets.existingSecret | default (include "parsec.fullname" .) }}
{{- end }}

{{- define "parsec.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}

{{- define "parsec.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1234
runAsGroup: 1234
fsGroup: 1234
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "parsec.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
