{{/* What the schema cannot say: values that only together do not work. */}}
{{- define "parsec.checks" -}}
{{- $values := .Values -}}
{{- $kinds := list $values.nats.enabled (ne $values.nats.url "") $values.nats.urlFromSecret -}}
{{- if gt (len (without $kinds false)) 1 -}}
{{- fail "nats.enabled, nats.url and nats.urlFromSecret exclude each other" -}}
{{- end -}}
{{- if not (include "parsec.hasNats" .) -}}
{{- if eq $values.services "each" -}}
{{- fail "services: each needs NATS: nats.enabled, nats.url or nats.urlFromSecret" -}}
{{- end -}}
{{- $server := (include "parsec.services" . | fromYaml).server -}}
{{- if or $server.autoscaling.enabled (ne (int $server.replicas) 1) -}}
{{- fail "services: all without NATS is one process: set server.replicas to 1 and leave server.autoscaling off" -}}
{{- end -}}
{{- end -}}
{{- if not $values.secrets.existingSecret -}}
{{- range $name, $service := include "parsec.services" . | fromYaml -}}
{{- $needed := $service.secrets -}}
{{- if $values.nats.enabled }}{{ $needed = append $needed (include "parsec.natsPassword" $name) }}{{ end -}}
{{- if $values.nats.urlFromSecret }}{{ $needed = append $needed "PARSEC_NATS_URL" }}{{ end -}}
{{- range $needed -}}
{{- if not (index $values.secrets.values .) -}}
{{- fail (printf "secrets.values.%s is needed, or secrets.existingSecret" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
