{{/* Names */}}
{{- define "isocenter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "isocenter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "isocenter.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "isocenter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "isocenter.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: isocenter
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "isocenter.selector" -}}
app.kubernetes.io/name: {{ include "isocenter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "isocenter.image" -}}
{{- with .Values.image -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* What a role needs: whom it calls over gRPC, and which servers it uses. */}}
{{- define "isocenter.roles" -}}
gateway: {calls: [ingest, storage, query, transcoding], uses: [kafka]}
web: {calls: [audit, ingest, storage, query, transcoding], uses: [kafka]}
ingest: {calls: [query, storage], uses: [kafka]}
storage: {calls: [query], uses: [kafka, objectStore]}
query: {calls: [storage], uses: [kafka, elasticsearch]}
transcoding: {calls: [], uses: []}
indexing: {calls: [storage], uses: [kafka, elasticsearch]}
audit: {calls: [storage], uses: [kafka, elasticsearch, objectStore]}
{{- end }}

{{/* The ConfigMap with the policy; empty: none. */}}
{{- define "isocenter.policy" -}}
{{- with .Values.access -}}
{{ if .policy }}{{ include "isocenter.fullname" $ }}-policy{{ else }}{{ .policyConfigMap.name }}{{ end }}
{{- end }}
{{- end }}

{{/* Where clients reach the web role; empty: as each request says. */}}
{{- define "isocenter.publicUrl" -}}
{{- with .Values.web -}}
{{ if .publicUrl }}{{ .publicUrl }}{{ else if and .ingress.enabled .ingress.tlsSecret }}https://{{ .ingress.host }}{{ end }}
{{- end }}
{{- end }}

{{/* The Secret of the keys that seal the audit trail. */}}
{{- define "isocenter.auditSecret" -}}
{{- .Values.audit.existingSecret | default (printf "%s-audit-keys" (include "isocenter.fullname" .)) }}
{{- end }}

{{/* Role -> its group of consumers; that of indexing names the schema of the search index. */}}
{{- define "isocenter.group" -}}
{{- get (dict "indexing" "indexing-v2" "audit" "audit") . }}
{{- end }}

{{/* Name -> deployment with everything filled in, sites among them. */}}
{{- define "isocenter.deployments" -}}
{{- $all := dict }}
{{- if eq .Values.mode "distributed" }}
{{- range $name, $one := .Values.deployments }}
{{- if $one }}
{{- $_ := set $all $name (mustMergeOverwrite (deepCopy $.Values.defaults) $one) }}
{{- end }}
{{- end }}
{{- range .Values.sites }}
{{- $own := omit . "name" "aeTitle" "service" }}
{{- $settings := dict "site" .name }}
{{- with .aeTitle }}
{{- $_ := set $settings "gateway" (dict "ae_title" .) }}
{{- end }}
{{- $site := mustMergeOverwrite (deepCopy $.Values.defaults) (deepCopy $own) (dict "roles" (list "gateway") "site" .name) }}
{{- $_ := set $site "settings" (mustMergeOverwrite $settings (deepCopy (.settings | default dict))) }}
{{- $_ := set $all (printf "gateway-%s" .name) $site }}
{{- end }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{/* Roles of a deployment -> what they use or call, each once. Call with (list ROLES "uses"|"calls"). */}}
{{- define "isocenter.needs" -}}
{{- $table := include "isocenter.roles" . | fromYaml }}
{{- $kind := index . 1 }}
{{- $found := list }}
{{- range index . 0 }}
{{- $found = concat $found (index $table . $kind) }}
{{- end }}
{{- $found | uniq | sortAlpha | toYaml }}
{{- end }}

{{/* Role -> the deployment that runs it. */}}
{{- define "isocenter.places" -}}
{{- range $name, $one := include "isocenter.deployments" . | fromYaml }}
{{- if not $one.site }}
{{- range $one.roles }}
{{ . }}: {{ $name | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Every way in over DIMSE: the Service's name -> deployment, AE title, and how the Service is. */}}
{{- define "isocenter.doors" -}}
{{- $full := include "isocenter.fullname" . }}
{{- $title := dig "gateway" "ae_title" "ISOCENTER" .Values.settings }}
{{- $place := ternary "all" (include "isocenter.places" . | fromYaml).gateway (eq .Values.mode "embedded") }}
{{- with $place }}
{{ $full }}-dicom: {{ dict "deployment" . "title" (dig . "settings" "gateway" "ae_title" $title $.Values.deployments) "service" $.Values.dicom.service | toJson }}
{{- end }}
{{- range .Values.sites }}
{{- $service := mustMergeOverwrite (omit (deepCopy $.Values.dicom.service) "nodePort" "nodePortTls") (deepCopy (.service | default dict)) }}
{{ $full }}-dicom-{{ .name }}: {{ dict "deployment" (printf "gateway-%s" .name) "title" (.aeTitle | default $title) "service" $service | toJson }}
{{- end }}
{{- end }}

{{- define "isocenter.backends" -}}
{{- if .Values.dev.enabled -}}
{{- $full := include "isocenter.fullname" . -}}
kafka: {hosts: [{{ $full }}-dev-kafka:9092], tls: false, secret: "", caSecret: {name: "", key: ca.crt}}
elasticsearch: {hosts: [{{ $full }}-dev-elasticsearch:9200], tls: false, secret: "", caSecret: {name: "", key: ca.crt}}
objectStore: {hosts: [{{ $full }}-dev-minio:9000], tls: false, secret: {{ $full }}-dev-minio, caSecret: {name: "", key: ca.crt}}
{{- else -}}
kafka: {{ dict "hosts" .Values.kafka.bootstrap "tls" .Values.kafka.tls "secret" .Values.kafka.sasl.existingSecret "caSecret" .Values.kafka.caSecret | toJson }}
elasticsearch: {{ dict "hosts" .Values.elasticsearch.hosts "tls" .Values.elasticsearch.tls "secret" .Values.elasticsearch.auth.existingSecret "caSecret" .Values.elasticsearch.caSecret | toJson }}
objectStore: {{ dict "hosts" (list .Values.objectStore.endpoint) "tls" .Values.objectStore.tls "secret" .Values.objectStore.existingSecret "caSecret" .Values.objectStore.caSecret | toJson }}
{{- end -}}
{{- end }}

{{- define "isocenter.rpcSecret" -}}
{{- .Values.rpc.tls.existingSecret | default (printf "%s-rpc" (include "isocenter.fullname" .)) }}
{{- end }}

{{- define "isocenter.dicomSecret" -}}
{{- .Values.dicom.tls.existingSecret | default (printf "%s-dicom" (include "isocenter.fullname" .)) }}
{{- end }}
