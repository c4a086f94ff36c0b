{{/*
What the pods of services, NATS, Jobs and the test have in common. They take (dict "root" $ "component" … "pod" …), where
`pod` are the keys of `defaults` with those of the component over them.
*/}}

{{/* A map without the keys that are null, which take a default away. */}}
{{- define "parsec.given" -}}
{{- $given := dict -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $given $key $value }}{{ end -}}
{{- end -}}
{{- toYaml $given -}}
{{- end }}

{{/* Labels and annotations of a template; `annotations` are further ones. */}}
{{- define "parsec.podMetadata" -}}
labels:
  {{- include "parsec.labels" (dict "root" .root "component" .component "labels" .pod.podLabels) | nindent 2 }}
{{- with mustMerge (deepCopy (.pod.podAnnotations | default dict)) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where a pod runs, and as whom. */}}
{{- define "parsec.podSpec" -}}
automountServiceAccountToken: false
# Their variables would be taken for options: a Service `parsec` sets PARSEC_PORT.
enableServiceLinks: false
securityContext:
  {{- include "parsec.given" .pod.podSecurityContext | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := .pod.tolerations | default list }}
{{- if not (kindIs "invalid" .pod.lostNodeSeconds) }}
{{- range list "not-ready" "unreachable" }}
{{- $lost := dict "key" (print "node.kubernetes.io/" .) "operator" "Exists" "effect" "NoExecute" }}
{{- $tolerations = append $tolerations (set $lost "tolerationSeconds" (int $.pod.lostNodeSeconds)) }}
{{- end }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "parsec.affinity" . | fromYaml }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
The pods of a Deployment apart from each other, those of each of its revisions by themselves. `spread` says whether one
waits rather than be on a node that it could avoid. Not a constraint by zone: where nodes have no zone, the scheduler
would take no notice of hosts either.
*/}}
{{- define "parsec.spread" -}}
{{- if .pod.spreadByHost -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: {{ .spread }}
    nodeTaintsPolicy: Honor
    labelSelector:
      matchLabels:
        {{- include "parsec.selector" . | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{- define "parsec.affinity" -}}
{{- $affinity := deepCopy (.pod.affinity | default dict) -}}
{{- if and .spread .pod.spreadByZone (not $affinity.podAntiAffinity) -}}
{{- $selector := include "parsec.selector" . | fromYaml -}}
{{- $zone := dict "topologyKey" "topology.kubernetes.io/zone" "labelSelector" (dict "matchLabels" $selector) -}}
{{- $preferred := list (dict "weight" 100 "podAffinityTerm" $zone) -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" $preferred) -}}
{{- end -}}
{{- toYaml $affinity -}}
{{- end }}

{{/* Resources, rights and files of a container of the server. */}}
{{- define "parsec.containerFields" -}}
# `kubectl describe pod` shows why it ended.
terminationMessagePolicy: FallbackToLogsOnError
resources:
  {{- toYaml .pod.resources | nindent 2 }}
securityContext:
  {{- include "parsec.given" .pod.containerSecurityContext | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- if .natsTls }}
  - name: nats-tls
    mountPath: /etc/parsec-nats
    readOnly: true
  {{- end }}
  {{- with .root.Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "parsec.volumes" -}}
volumes:
  - name: tmp
    emptyDir: {}
  {{- with .Values.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Rules of a NetworkPolicy. */}}
{{- define "parsec.dnsEgress" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
{{- end }}

{{/* The policy of a component whose pods nobody connects to; `egress` are its rules. */}}
{{- define "parsec.egressPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "parsec.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "parsec.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- include "parsec.dnsEgress" . | nindent 4 }}
    {{- with .egress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
