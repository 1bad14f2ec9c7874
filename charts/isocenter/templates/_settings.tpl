{{/* isocenter.toml. Call with (list CONTEXT SETTINGS-OF-THE-DEPLOYMENT). */}}
{{- define "isocenter.toml" -}}
{{- $context := index . 0 }}
{{- $own := index . 1 }}
{{- $made := include (printf "isocenter.settings.%s" $context.Values.mode) $context | fromYaml }}
{{- $common := include "isocenter.settings.common" $context | fromYaml }}
{{- $toml := mustMergeOverwrite $common $made (deepCopy $context.Values.settings) (deepCopy $own) | toToml }}
{{- /* Numbers of values are floating-point to Helm. */}}
{{- regexReplaceAll "(?m)= (-?[0-9]+)[.]0$" $toml "= ${1}" | trim }}
{{- end }}

{{- define "isocenter.settings.common" -}}
data: /var/lib/isocenter
log: {format: json}
monitor: {host: 0.0.0.0, port: 9464}
gateway:
  host: 0.0.0.0
  port: 11112
  {{- if .Values.dicom.tls.enabled }}
  tls_port: 2762
  certificate_file: /etc/isocenter/dicom/tls.crt
  key_file: /etc/isocenter/dicom/tls.key
  {{- if .Values.dicom.tls.clientCaSecret }}
  ca_file: /etc/isocenter/dicom-clients/ca.crt
  {{- end }}
  {{- end }}
  {{- with .Values.dicom.proxyProtocolFrom }}
  proxy_protocol_from: {{ toJson . }}
  {{- end }}
web:
  host: 0.0.0.0
  port: 8080
  viewer: /opt/isocenter/viewer
  {{- with include "isocenter.publicUrl" . }}
  public_url: {{ . | quote }}
  {{- end }}
  {{- with .Values.web.trustedProxies }}
  trusted_proxies: {{ toJson . }}
  {{- end }}
  grpc_host: 0.0.0.0
  {{- if .Values.rpc.tls.enabled }}
  grpc_certificate_file: /etc/isocenter/rpc/tls.crt
  grpc_key_file: /etc/isocenter/rpc/tls.key
  {{- end }}
access:
  {{- include "isocenter.settings.access" . | nindent 2 }}
rpc: {insecure: {{ not .Values.rpc.tls.enabled }}}
process: {drain_seconds: {{ .Values.defaults.drainSeconds }}}
{{- with .Values.monitoring.otlpEndpoint }}
telemetry: {endpoint: {{ . | quote }}}
{{- end }}
{{- end }}

{{- define "isocenter.settings.access" -}}
{{- with .Values.access }}
{{- if include "isocenter.policy" $ }}
policy: /etc/isocenter/policy/policy.toml
{{- end }}
local_accounts: {{ .localAccounts }}
session_idle_minutes: {{ .sessionIdleMinutes }}
session_hours: {{ .sessionHours }}
emergency_minutes: {{ .emergencyMinutes }}
certificates: {{ toJson .certificates }}
{{- with .oidc }}
{{- if .issuer }}
oidc:
  issuer: {{ .issuer | quote }}
  client_id: {{ .clientId | quote }}
  {{- if .existingSecret }}
  client_secret_file: /etc/isocenter/oidc/{{ .secretKey }}
  {{- end }}
  {{- if .caSecret.name }}
  ca_file: /etc/isocenter/ca-oidc/{{ .caSecret.key }}
  {{- end }}
  scopes: {{ toJson .scopes }}
  audience: {{ .audience | quote }}
  name_claim: {{ .nameClaim | quote }}
  roles_claim: {{ .rolesClaim | quote }}
  roles: {{ toJson .roles }}
  groups_claim: {{ .groupsClaim | quote }}
  sites_claim: {{ .sitesClaim | quote }}
  refresh_minutes: {{ .refreshMinutes }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "isocenter.settings.embedded" -}}
process: {workers: {{ .Values.embedded.workers }}}
{{- end }}

{{- define "isocenter.settings.distributed" -}}
{{- $backends := include "isocenter.backends" . | fromYaml }}
{{- $places := include "isocenter.places" . | fromYaml }}
{{- $full := include "isocenter.fullname" . }}
bus: kafka://{{ join "," $backends.kafka.hosts }}/{{ .Values.kafka.namespace }}
blobs: s3://{{ first $backends.objectStore.hosts }}/{{ .Values.objectStore.bucket }}
index: elasticsearch://{{ join "," $backends.elasticsearch.hosts }}/{{ .Values.elasticsearch.prefix }}
kafka:
  tls: {{ $backends.kafka.tls }}
  partitions: {{ .Values.kafka.partitions }}
  replicas: {{ ternary 1 .Values.kafka.replicas .Values.dev.enabled }}
  mechanism: {{ .Values.kafka.sasl.mechanism }}
  {{- if $backends.kafka.caSecret.name }}
  ca_file: /etc/isocenter/ca-kafka/{{ $backends.kafka.caSecret.key }}
  {{- end }}
elasticsearch:
  tls: {{ $backends.elasticsearch.tls }}
  shards: {{ .Values.elasticsearch.shards }}
  replicas: {{ ternary 0 .Values.elasticsearch.replicas .Values.dev.enabled }}
  {{- if $backends.elasticsearch.caSecret.name }}
  ca_file: /etc/isocenter/ca-elasticsearch/{{ $backends.elasticsearch.caSecret.key }}
  {{- end }}
s3:
  tls: {{ $backends.objectStore.tls }}
  region: {{ .Values.objectStore.region | quote }}
  {{- if $backends.objectStore.caSecret.name }}
  ca_file: /etc/isocenter/ca-objectstore/{{ $backends.objectStore.caSecret.key }}
  {{- end }}
audit: {keys: /etc/isocenter/audit-keys}
rpc:
  host: 0.0.0.0
  port: 50051
  {{- range $role, $place := $places }}
  {{- if not (has $role (list "gateway" "web")) }}
  {{ $role }}: dns:///{{ $full }}-{{ $place }}-grpc.{{ $.Release.Namespace }}.svc.{{ $.Values.clusterDomain }}:50051
  {{- end }}
  {{- end }}
  {{- if .Values.rpc.tls.enabled }}
  ca_file: /etc/isocenter/rpc/ca.crt
  certificate_file: /etc/isocenter/rpc/tls.crt
  key_file: /etc/isocenter/rpc/tls.key
  {{- end }}
{{- end }}
