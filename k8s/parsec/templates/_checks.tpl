{{/* What the schema cannot say: values that only together do not work. */}}
{{- define "parsec.checks" -}}
{{- $values := .Values -}}
{{- $kinds := list $values.nats.enabled (not (empty $values.nats.url)) (not (empty $values.nats.urlFromSecret)) -}}
{{- if gt (len (without $kinds false)) 1 -}}
{{- fail "nats.enabled, nats.url and nats.urlFromSecret exclude each other" -}}
{{- end -}}
{{- if not (include "parsec.hasNats" .) -}}
{{- if eq $values.services "each" -}}
{{- fail "services: each needs NATS: nats.enabled, nats.url or nats.urlFromSecret" -}}
{{- end -}}
{{- $server := (include "parsec.services" . | fromYaml).server -}}
{{- if or $server.autoscaling.enabled (ne (toString $server.replicas) "1") -}}
{{- fail "services: all without NATS is one process: set server.replicas to 1 and leave server.autoscaling off" -}}
{{- end -}}
{{- end -}}
{{- range $name, $service := include "parsec.services" . | fromYaml -}}
{{- $least := add (ceil $service.drainSeconds) $service.preStopSeconds 10 -}}
{{- $given := $service.terminationGraceSeconds -}}
{{- $scaling := $service.autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail (printf "%s.autoscaling.minReplicas is more than maxReplicas" $name) -}}
{{- end -}}
{{- if and (not (kindIs "invalid" $given)) (le (int $given) (int $least)) -}}
{{- fail (printf "%s.terminationGraceSeconds must be more than %d: preStopSeconds, drainSeconds and 10 to end" $name $least) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.backup.enabled (not .Values.backup.volume) }}{{ fail "backup.volume is needed" }}{{ end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}{{ fail "httpRoute.parentRefs is needed" }}{{ end -}}
{{- if and .Values.httpRoute.administrationHostnames (not .Values.httpRoute.hostnames) -}}
{{- fail "httpRoute.hostnames is needed beside httpRoute.administrationHostnames" -}}
{{- end -}}
{{- if and $values.nats.enabled (not (regexMatch "^[A-Za-z0-9_.-]+$" (include "parsec.natsPrefix" .))) -}}
{{- fail "config.PARSEC_NATS_SUBJECT_PREFIX is of letters, digits, -, _ and dots" -}}
{{- end -}}
{{- if not $values.secrets.existingSecret -}}
{{- range $name, $service := include "parsec.services" . | fromYaml -}}
{{- $needed := $service.secrets -}}
{{- if $values.nats.enabled }}{{ $needed = append $needed (include "parsec.natsPassword" $name) }}{{ end -}}
{{- if $values.nats.urlFromSecret }}{{ $needed = append $needed "PARSEC_NATS_URL" }}{{ end -}}
{{- if and $values.nats.enabled (gt (int $values.nats.replicas) 1) }}{{ $needed = append $needed "NATS_CLUSTER_PASSWORD" }}{{ end -}}
{{- range $needed -}}
{{- if not (or (index $values.secrets.values .) (index ($values.secrets.from | default dict) .)) -}}
{{- fail (printf "secrets.values.%s is needed, or secrets.existingSecret, or secrets.from" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
