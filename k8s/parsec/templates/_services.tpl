{{/*
THE table of services: what differs between them. `secrets` are keys of the Secret, `http` is whether clients connect,
`publish` and `subscribe` are the service's subjects on NATS.
*/}}
{{- define "parsec.table" -}}
{{- if eq .Values.services "all" -}}
server:
  http: true
  secrets: [PARSEC_ADMINISTRATION_TOKEN, PARSEC_DB, PARSEC_BLOCKSTORE]
  optionalSecrets: [PARSEC_EMAIL_HOST_PASSWORD]
  publish: [parsec.>]
  subscribe: [parsec.>]
{{- else -}}
gateway:
  http: true
  secrets: [PARSEC_ADMINISTRATION_TOKEN]
  optionalSecrets: []
  publish: [parsec.cmd.>, parsec.internal.>]
  subscribe: [parsec.event.>]
metadata:
  http: false
  secrets: [PARSEC_DB]
  optionalSecrets: [PARSEC_EMAIL_HOST_PASSWORD]
  publish: [parsec.event.>]
  subscribe: [parsec.cmd.metadata.>, parsec.internal.metadata.>]
blockstore:
  http: false
  secrets: [PARSEC_BLOCKSTORE]
  optionalSecrets: []
  publish: [parsec.internal.metadata.>]
  subscribe: [parsec.cmd.blockstore.>, parsec.internal.blockstore.>]
admin:
  http: true
  secrets: [PARSEC_ADMINISTRATION_TOKEN]
  optionalSecrets: []
  publish: [parsec.internal.metadata.>]
  subscribe: []
{{- end -}}
{{- end }}

{{/* Name → row of the table, over the values of the service, over `defaults`. */}}
{{- define "parsec.services" -}}
{{- $services := dict -}}
{{- range $name, $row := include "parsec.table" . | fromYaml -}}
{{- $values := mustMergeOverwrite (deepCopy $.Values.defaults) (deepCopy (index $.Values $name)) -}}
{{- $_ := set $services $name (mustMergeOverwrite $values $row) -}}
{{- end -}}
{{- toYaml $services -}}
{{- end }}

{{/* Whether the services are on NATS; empty: they talk inside the process. */}}
{{- define "parsec.hasNats" -}}
{{- if or .Values.nats.enabled .Values.nats.url .Values.nats.urlFromSecret }}true{{ end -}}
{{- end }}

{{- define "parsec.natsPassword" -}}
NATS_{{ upper . }}_PASSWORD
{{- end }}

{{/* The variables of a pod of the server. */}}
{{- define "parsec.env" -}}
{{- $root := .root -}}
{{- $secret := include "parsec.secretName" $root -}}
{{- if ne .component "server" }}
- name: PARSEC_SERVICES
  value: {{ .component }}
{{- end }}
- name: PARSEC_PORT
  value: "6777"
- name: PARSEC_MONITOR_PORT
  value: "6778"
- name: PARSEC_DRAIN_SECONDS
  value: {{ .service.drainSeconds | toJson | quote }}
{{- range .service.secrets }}
{{ include "parsec.secretEnv" (dict "name" . "secret" $secret "key" .) }}
{{- end }}
{{- range .service.optionalSecrets }}
{{ include "parsec.secretEnv" (dict "name" . "secret" $secret "key" . "optional" true) }}
{{- end }}
{{- if $root.Values.nats.enabled }}
{{ include "parsec.secretEnv" (dict "name" "NATS_PASSWORD" "secret" $secret "key" (include "parsec.natsPassword" .component)) }}
- name: PARSEC_NATS_URL
  value: nats://{{ .component }}:$(NATS_PASSWORD)@{{ include "parsec.fullname" $root }}-nats:4222
{{- else if $root.Values.nats.url }}
- name: PARSEC_NATS_URL
  value: {{ $root.Values.nats.url | quote }}
{{- else if $root.Values.nats.urlFromSecret }}
{{ include "parsec.secretEnv" (dict "name" "PARSEC_NATS_URL" "secret" $secret "key" "PARSEC_NATS_URL") }}
{{- end }}
{{- with .service.env }}
{{ toYaml . }}
{{- end }}
{{- end }}
