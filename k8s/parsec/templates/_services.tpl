{{/*
THE table of services: what differs between them. `secrets` are keys of the Secret, `http` is whether clients connect,
`publish` and `subscribe` are the service's subjects on NATS, as libs/shared/src/bus/permissions.ts has them.
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
  publish:
    - parsec.roll.gateway
    - parsec.cmd.metadata.*
    - parsec.cmd.metadata.*.caller
    - parsec.cmd.blockstore.*
    - parsec.cmd.blockstore.*.caller
    - parsec.internal.metadata.session_open
    - parsec.internal.metadata.session_open.caller
    - parsec.internal.metadata.session_open_invited
    - parsec.internal.metadata.session_open_invited.caller
    - parsec.internal.metadata.organization_find
    - parsec.internal.metadata.organization_find.caller
    - parsec.internal.metadata.organization_expired
    - parsec.internal.metadata.organization_expired.caller
    - parsec.internal.metadata.realm_memberships
    - parsec.internal.metadata.realm_memberships.caller
    - parsec.internal.metadata.legacy_invite
    - parsec.internal.metadata.legacy_invite.caller
    - parsec.internal.metadata.legacy_claim
    - parsec.internal.metadata.legacy_claim.caller
    - parsec.internal.metadata.conduit_talk
    - parsec.internal.metadata.conduit_talk.caller
    - parsec.internal.metadata.conduit_listen
    - parsec.internal.metadata.conduit_listen.caller
    - parsec.internal.metadata.claimer_present
    - parsec.internal.metadata.claimer_present.caller
    - parsec.internal.metadata.claimer_gone
    - parsec.internal.metadata.claimer_gone.caller
    - parsec.internal.metadata.devices_seen
    - parsec.internal.metadata.devices_seen.caller
  subscribe:
    - parsec.inbox.gateway.>
    - parsec.roll.call
    - parsec.replica.gateway.*.*
    - parsec.replica.gateway.*.*.caller
    - parsec.event.*.*
metadata:
  http: false
  secrets: [PARSEC_DB]
  optionalSecrets: [PARSEC_EMAIL_HOST_PASSWORD]
  publish:
    - parsec.roll.metadata
    - parsec.event.*.*
    - parsec.presence.metadata
  subscribe:
    - parsec.inbox.metadata.>
    - parsec.roll.call
    - parsec.replica.metadata.*.*
    - parsec.replica.metadata.*.*.caller
    - parsec.presence.metadata
    - parsec.cmd.metadata.*
    - parsec.cmd.metadata.*.caller
    - parsec.internal.metadata.*
    - parsec.internal.metadata.*.caller
blockstore:
  http: false
  secrets: [PARSEC_BLOCKSTORE]
  optionalSecrets: []
  publish:
    - parsec.roll.blockstore
    - parsec.internal.metadata.block_check
    - parsec.internal.metadata.block_check.caller
    - parsec.internal.metadata.block_commit
    - parsec.internal.metadata.block_commit.caller
    - parsec.internal.metadata.block_abandon
    - parsec.internal.metadata.block_abandon.caller
    - parsec.internal.metadata.block_access
    - parsec.internal.metadata.block_access.caller
    - parsec.internal.metadata.block_removal
    - parsec.internal.metadata.block_removal.caller
    - parsec.internal.metadata.block_nodes
    - parsec.internal.metadata.block_nodes.caller
    - parsec.internal.metadata.block_node_marked
    - parsec.internal.metadata.block_node_marked.caller
  subscribe:
    - parsec.inbox.blockstore.>
    - parsec.roll.call
    - parsec.replica.blockstore.*.*
    - parsec.replica.blockstore.*.*.caller
    - parsec.cmd.blockstore.*
    - parsec.cmd.blockstore.*.caller
    - parsec.internal.blockstore.*
    - parsec.internal.blockstore.*.caller
admin:
  http: true
  secrets: [PARSEC_ADMINISTRATION_TOKEN]
  optionalSecrets: []
  publish:
    - parsec.roll.admin
    - parsec.roll.call
    - parsec.replica.*.*.*
    - parsec.replica.*.*.*.caller
    - parsec.internal.metadata.administration_create
    - parsec.internal.metadata.administration_create.caller
    - parsec.internal.metadata.administration_status
    - parsec.internal.metadata.administration_status.caller
    - parsec.internal.metadata.administration_update
    - parsec.internal.metadata.administration_update.caller
    - parsec.internal.metadata.administration_stats
    - parsec.internal.metadata.administration_stats.caller
    - parsec.internal.metadata.administration_server_stats
    - parsec.internal.metadata.administration_server_stats.caller
    - parsec.internal.metadata.administration_users
    - parsec.internal.metadata.administration_users.caller
    - parsec.internal.metadata.administration_freeze
    - parsec.internal.metadata.administration_freeze.caller
    - parsec.internal.metadata.admin_organizations
    - parsec.internal.metadata.admin_organizations.caller
    - parsec.internal.metadata.admin_organization
    - parsec.internal.metadata.admin_organization.caller
    - parsec.internal.metadata.admin_bootstrap
    - parsec.internal.metadata.admin_bootstrap.caller
    - parsec.internal.metadata.admin_users
    - parsec.internal.metadata.admin_users.caller
    - parsec.internal.metadata.admin_user
    - parsec.internal.metadata.admin_user.caller
    - parsec.internal.metadata.admin_freeze
    - parsec.internal.metadata.admin_freeze.caller
    - parsec.internal.metadata.admin_devices
    - parsec.internal.metadata.admin_devices.caller
    - parsec.internal.metadata.admin_realm_usage
    - parsec.internal.metadata.admin_realm_usage.caller
    - parsec.internal.metadata.admin_user_usage
    - parsec.internal.metadata.admin_user_usage.caller
    - parsec.internal.metadata.admin_figures
    - parsec.internal.metadata.admin_figures.caller
    - parsec.internal.metadata.admin_history
    - parsec.internal.metadata.admin_history.caller
    - parsec.internal.metadata.admin_mail_test
    - parsec.internal.metadata.admin_mail_test.caller
    - parsec.internal.metadata.administration_doomed
    - parsec.internal.metadata.administration_doomed.caller
    - parsec.internal.metadata.administration_delete
    - parsec.internal.metadata.administration_delete.caller
    - parsec.internal.blockstore.objects_remove
    - parsec.internal.blockstore.objects_remove.caller
  subscribe:
    - parsec.inbox.admin.>
    - parsec.roll.call
    - parsec.replica.admin.*.*
    - parsec.replica.admin.*.*.caller
    - parsec.roll.*
{{- end -}}
{{- end }}

{{/* `defaults` under the values of a component that is no service, and of `under`, the services whose work it does. */}}
{{- define "parsec.pod" -}}
{{- $pod := deepCopy .root.Values.defaults -}}
{{- range .under }}{{ $pod = mustMergeOverwrite $pod (deepCopy (index $.root.Values .)) }}{{ end -}}
{{- toYaml (mustMergeOverwrite $pod (deepCopy .values)) -}}
{{- end }}

{{/* Name → row of the table, over the values of the service, over `defaults`. */}}
{{- define "parsec.services" -}}
{{- $services := dict -}}
{{- range $name, $row := include "parsec.table" . | fromYaml -}}
{{- $values := mustMergeOverwrite (deepCopy $.Values.defaults) (deepCopy (index $.Values $name | default dict)) -}}
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
{{- if ne .component "server" }}
- name: PARSEC_SERVICES
  value: {{ .component }}
{{- end }}
- name: PARSEC_PORT
  value: "6777"
- name: PARSEC_MONITOR_PORT
  value: "6778"
- name: PARSEC_DRAIN_SECONDS
  value: {{ .pod.drainSeconds | toJson | quote }}
{{- range .pod.secrets }}
{{ include "parsec.secretEnv" (dict "root" $root "key" .) }}
{{- end }}
{{- range append .pod.optionalSecrets "PARSEC_OTEL_ENDPOINT" }}
{{ include "parsec.secretEnv" (dict "root" $root "key" . "optional" true) }}
{{- end }}
{{- if $root.Values.nats.enabled }}
{{ include "parsec.secretEnv" (dict "root" $root "name" "NATS_PASSWORD" "key" (include "parsec.natsPassword" .component)) }}
- name: PARSEC_NATS_URL
  value: {{ empty $root.Values.nats.tls.secret | ternary "nats" "tls" }}://{{ .component }}:$(NATS_PASSWORD)@{{ include "parsec.fullname" $root }}-nats:4222
{{- if $root.Values.nats.tls.secret }}
- name: PARSEC_NATS_TLS_CA
  value: /etc/parsec-nats/ca.crt
{{- end }}
{{- else if $root.Values.nats.url }}
- name: PARSEC_NATS_URL
  value: {{ $root.Values.nats.url | quote }}
{{- else if $root.Values.nats.urlFromSecret }}
{{ include "parsec.secretEnv" (dict "root" $root "key" "PARSEC_NATS_URL") }}
{{- end }}
{{- with .pod.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A value of `config` as text. */}}
{{- define "parsec.text" -}}
{{ kindIs "string" . | ternary . (toJson .) }}
{{- end }}
