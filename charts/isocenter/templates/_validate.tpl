{{/* Each template says what is wrong, one sentence a line. */}}

{{- define "isocenter.wrong.image" }}
{{- if and .Values.image.digest .Values.image.tag }}
image.tag and image.digest are two sources of one image: set one of the two
{{- end }}
{{- end }}

{{- define "isocenter.wrong.mode" }}
{{- if eq .Values.mode "embedded" }}
{{- if gt (int .Values.embedded.replicas) 1 }}
mode embedded runs one pod on one volume, but embedded.replicas is {{ .Values.embedded.replicas }}: leave it at 1, or choose mode distributed
{{- end }}
{{- if .Values.dev.enabled }}
mode embedded uses no servers, but dev.enabled starts some: set one of the two
{{- end }}
{{- if include "isocenter.named" . | trim }}
mode embedded uses no servers, but {{ include "isocenter.named" . | trim }} names some: remove it, or choose mode distributed
{{- end }}
{{- if .Values.sites }}
mode embedded has one gateway, but sites asks for more: remove them, or choose mode distributed
{{- end }}
{{- end }}
{{- end }}

{{/* The first value that names a server of the cluster. */}}
{{- define "isocenter.named" }}
{{- if .Values.kafka.bootstrap }}kafka.bootstrap{{ else if .Values.elasticsearch.hosts }}elasticsearch.hosts{{ else if .Values.objectStore.endpoint }}objectStore.endpoint{{ end }}
{{- end }}

{{- define "isocenter.wrong.roles" }}
{{- if eq .Values.mode "distributed" }}
{{- $placed := dict }}
{{- range $name, $one := .Values.deployments }}
{{- range ($one | default dict).roles }}
{{- if hasKey $placed . }}
the role {{ . }} is in the deployments {{ get $placed . }} and {{ $name }}: leave it in one (`deployments.{{ $name }}: null` removes a deployment)
{{- end }}
{{- $_ := set $placed . $name }}
{{- end }}
{{- end }}
{{- range $role, $_ := include "isocenter.roles" . | fromYaml }}
{{- if not (or (hasKey $placed $role) (and (eq $role "gateway") $.Values.sites)) }}
no deployment has the role {{ $role }}: add it to deployments.NAME.roles of one
{{- end }}
{{- end }}
{{- $names := list }}
{{- range .Values.sites }}
{{- if has .name $names }}
sites has {{ .name }} more than once: give each a name of its own
{{- end }}
{{- $names = append $names .name }}
{{- if hasKey $.Values.deployments (printf "gateway-%s" .name) }}
the site {{ .name }} and the deployment gateway-{{ .name }} would have one name: rename one of the two
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "isocenter.wrong.names" }}
{{- range $name, $one := .Values.deployments }}
{{- if regexMatch "^(all|data|default-deny|dev|identity-provider|kafka|monitor|names-and-monitors|policy|prepare|rpc|test|(callers|dashboard|dev|dicom)-.*)$" $name }}
the chart itself makes objects named {{ $name }}: give the deployment another name
{{- end }}
{{- end }}
{{- $all := merge (dict "defaults" .Values.defaults) (include "isocenter.deployments" . | fromYaml) }}
{{- range $name, $one := $all }}
{{- range $label, $_ := $one.podLabels }}
{{- if regexMatch "^(app.kubernetes.io|helm.sh|isocenter.io)/" $label }}
{{ $name }}.podLabels: {{ $label }} is set by the chart: remove it
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "isocenter.wrong.copies" }}
{{- range $name, $one := include "isocenter.deployments" . | fromYaml }}
{{- with $one.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
deployment {{ $name }}: autoscaling.minReplicas {{ .minReplicas }} is above maxReplicas {{ .maxReplicas }}: raise maxReplicas
{{- end }}
{{- if not (dig "requests" "cpu" "" $one.resources) }}
deployment {{ $name }}: autoscaling measures processor time by what is requested, and nothing is: set resources.requests.cpu
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "isocenter.wrong.servers" }}
{{- if eq .Values.mode "distributed" }}
{{- $secrets := list .Values.kafka.sasl.existingSecret .Values.elasticsearch.auth.existingSecret .Values.objectStore.existingSecret }}
{{- if .Values.dev.enabled }}
{{- with include "isocenter.named" . | trim }}
dev.enabled brings servers of its own, but {{ . }} names others: set one of the two
{{- end }}
{{- if without $secrets "" }}
dev.enabled makes its own credentials, but {{ without $secrets "" | first }} is named in an existingSecret: remove it
{{- end }}
{{- if .Values.keda.enabled }}
keda.enabled reads the lag of kafka.bootstrap, which dev.enabled does not set: set one of the two
{{- end }}
{{- else }}
{{- if not .Values.kafka.bootstrap }}
no Kafka: set kafka.bootstrap to its host:port, or dev.enabled=true to try it out
{{- end }}
{{- if not .Values.elasticsearch.hosts }}
no Elasticsearch: set elasticsearch.hosts to its host:port, or dev.enabled=true to try it out
{{- end }}
{{- if not .Values.objectStore.endpoint }}
no object store: set objectStore.endpoint to its host:port, or dev.enabled=true to try it out
{{- else if not .Values.objectStore.existingSecret }}
objectStore.endpoint is set without credentials: name the Secret with them in objectStore.existingSecret
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "isocenter.wrong.certificates" }}
{{- range $name, $tls := dict "rpc" .Values.rpc.tls "dicom" .Values.dicom.tls }}
{{- if $tls.enabled }}
{{- if and $tls.existingSecret $tls.certManager.enabled }}
{{ $name }}.tls has two sources of one certificate: set existingSecret or certManager.enabled, not both
{{- else if and (eq $name "dicom") (not (or $tls.existingSecret $tls.certManager.enabled)) }}
{{ $name }}.tls is on without a certificate: name its Secret in {{ $name }}.tls.existingSecret, or set {{ $name }}.tls.certManager.enabled
{{- else if $tls.certManager.enabled }}
{{- if not $tls.certManager.issuerRef }}
{{ $name }}.tls.certManager is on without an issuer: name it in {{ $name }}.tls.certManager.issuerRef
{{- end }}
{{- if not ($.Capabilities.APIVersions.Has "cert-manager.io/v1") }}
{{ $name }}.tls.certManager needs cert-manager, which this cluster does not have: install cert-manager, or name a Secret in {{ $name }}.tls.existingSecret
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.dicom.tls }}
{{- if and .enabled .certManager.enabled (not .certManager.dnsNames) }}
dicom.tls.certManager is on without names: list in dicom.tls.certManager.dnsNames what modalities call it
{{- end }}
{{- end }}
{{- end }}

{{- define "isocenter.wrong.web" }}
{{- with .Values.web }}
{{- if and .ingress.enabled .gateway.enabled }}
web.ingress and web.gateway are both on: set one of the two
{{- end }}
{{- if and .ingress.enabled (not .ingress.host) }}
web.ingress is on without a host: set web.ingress.host
{{- end }}
{{- if and .gateway.enabled (not .gateway.parentRefs) }}
web.gateway is on without a Gateway: name it in web.gateway.parentRefs
{{- end }}
{{- end }}
{{- end }}

{{- define "isocenter.wrong.access" }}
{{- with .Values.access }}
{{- if .policy }}
{{- if .policyConfigMap.name }}
access.policy and access.policyConfigMap are two sources of one policy: set one of the two
{{- end }}
{{- with (fromToml .policy).Error }}
access.policy is no TOML ({{ regexReplaceAll "\\s+" (toString .) " " }}): write it as docs/access.md has it
{{- end }}
{{- end }}
{{- if and .oidc.issuer (not (include "isocenter.publicUrl" $)) }}
access.oidc sends people back to an address that is not known: set web.publicUrl to where browsers reach the web role
{{- end }}
{{- if and (not .oidc.issuer) (or .oidc.existingSecret .oidc.caSecret.name) }}
access.oidc has a Secret for no identity provider: set access.oidc.issuer
{{- end }}
{{- if not (or .localAccounts .oidc.issuer) }}
nobody could sign in: set access.oidc.issuer, or leave access.localAccounts on
{{- end }}
{{- end }}
{{- end }}

{{/* What other values decide; and secrets, which would be there for everybody to read. */}}
{{- define "isocenter.wrong.settings" }}
{{- $decided := dict
  "bus" "kafka.bootstrap and kafka.namespace" "blobs" "objectStore.endpoint and objectStore.bucket"
  "index" "elasticsearch.hosts and elasticsearch.prefix" "data" "embedded.persistence" "site" "sites"
  "rpc" "rpc.tls" "monitor" "the chart" "kafka" "the values kafka" "elasticsearch" "the values elasticsearch"
  "gateway.host" "the chart" "gateway.port" "dicom.service" "gateway.tls_port" "dicom.tls" "gateway.tls_only" "dicom.service, whose plain port stays"
  "gateway.certificate_file" "dicom.tls" "gateway.key_file" "dicom.tls" "gateway.ca_file" "dicom.tls"
  "gateway.proxy_protocol_from" "dicom.proxyProtocolFrom"
  "web.host" "the chart" "web.grpc_host" "the chart" "web.grpc_port" "the chart" "web.grpc_certificate_file" "rpc.tls" "web.grpc_key_file" "rpc.tls"
  "web.port" "web.service" "web.public_url" "web.publicUrl" "web.trusted_proxies" "web.trustedProxies" "access" "the values access"
  "s3.tls" "objectStore.tls" "s3.ca_file" "objectStore.caSecret" "s3.region" "objectStore.region"
  "s3.access_key" "the Secret objectStore.existingSecret" "s3.secret_key" "the Secret objectStore.existingSecret"
  "process.drain_seconds" "defaults.drainSeconds" "process.workers" "embedded.workers"
  "telemetry.endpoint" "monitoring.otlpEndpoint" }}
{{- $places := dict "settings" .Values.settings }}
{{- range $name, $one := .Values.deployments }}
{{- $_ := set $places (printf "deployments.%s.settings" $name) (($one | default dict).settings | default dict) }}
{{- end }}
{{- range .Values.sites }}
{{- $_ := set $places (printf "settings of the site %s" .name) (.settings | default dict) }}
{{- end }}
{{- range $place, $settings := $places }}
{{- range $key, $by := $decided }}
{{- $section := splitList "." $key | first }}
{{- $rest := trimPrefix $section $key | trimPrefix "." }}
{{- $found := get $settings $section }}
{{- if and (hasKey $settings $section) (or (not $rest) (and (kindIs "map" $found) (hasKey $found $rest))) }}
{{ $place }}: {{ $key }} is set by {{ $by }}: remove it here
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "isocenter.wrong.secrets" }}
{{- $places := dict "defaults" .Values.defaults }}
{{- range $name, $one := include "isocenter.deployments" . | fromYaml }}
{{- $uses := include "isocenter.needs" (list $one.roles "uses") | fromYamlArray }}
{{- range $entry := include "isocenter.credentials" (list $ $uses) | fromYamlArray }}
{{- range $one.env }}
{{- if eq .name $entry.name }}
deployment {{ $name }}: env sets {{ .name }}, which the Secret {{ $entry.valueFrom.secretKeyRef.name }} gives: remove one of the two
{{- end }}
{{- end }}
{{- end }}
{{- $_ := set $places (printf "deployment %s" $name) $one }}
{{- end }}
{{- range $place, $one := $places }}
{{- range $one.env }}
{{- if and .value (regexMatch "(PASSWORD|SECRET|SECRET_KEY|API_KEY|TOKEN)$" .name) }}
{{ $place }}: env holds the secret {{ .name }} itself: take it from a Secret with valueFrom.secretKeyRef
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "isocenter.wrong.missing" }}
{{- $monitoring := .Values.monitoring }}
{{- if and (or $monitoring.serviceMonitor.enabled $monitoring.rules.enabled) (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) }}
monitoring.serviceMonitor and monitoring.rules need the Prometheus operator, which this cluster does not have: install it, or leave them off and scrape port 9464 of the pods
{{- end }}
{{- if and .Values.web.gateway.enabled (not (.Capabilities.APIVersions.Has "gateway.networking.k8s.io/v1")) }}
web.gateway needs the Gateway API, which this cluster does not have: install its CRDs, or use web.ingress
{{- end }}
{{- if and .Values.keda.enabled (eq .Values.mode "distributed") (not (.Capabilities.APIVersions.Has "keda.sh/v1alpha1")) }}
keda.enabled needs KEDA, which this cluster does not have: install KEDA, or leave keda.enabled off
{{- end }}
{{- end }}
