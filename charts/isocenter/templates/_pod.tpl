{{- define "isocenter.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "isocenter.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The credentials that a pod needs. Call with (list CONTEXT BACKENDS-IT-USES). */}}
{{- define "isocenter.credentials" -}}
{{- $context := index . 0 }}
{{- $uses := index . 1 }}
{{- $values := $context.Values }}
{{- $backends := include "isocenter.backends" $context | fromYaml }}
{{- $wanted := list }}
{{- $sasl := $values.kafka.sasl }}
{{- if and (has "kafka" $uses) $backends.kafka.secret }}
{{- $wanted = append $wanted (list "ISOCENTER_KAFKA__USERNAME" $backends.kafka.secret $sasl.usernameKey) }}
{{- $wanted = append $wanted (list "ISOCENTER_KAFKA__PASSWORD" $backends.kafka.secret $sasl.passwordKey) }}
{{- end }}
{{- $auth := $values.elasticsearch.auth }}
{{- if and (has "elasticsearch" $uses) $backends.elasticsearch.secret }}
{{- if $auth.apiKeyKey }}
{{- $wanted = append $wanted (list "ISOCENTER_ELASTICSEARCH__API_KEY" $backends.elasticsearch.secret $auth.apiKeyKey) }}
{{- else }}
{{- $wanted = append $wanted (list "ISOCENTER_ELASTICSEARCH__USERNAME" $backends.elasticsearch.secret $auth.usernameKey) }}
{{- $wanted = append $wanted (list "ISOCENTER_ELASTICSEARCH__PASSWORD" $backends.elasticsearch.secret $auth.passwordKey) }}
{{- end }}
{{- end }}
{{- if and (has "objectStore" $uses) $backends.objectStore.secret }}
{{- $wanted = append $wanted (list "ISOCENTER_S3__ACCESS_KEY" $backends.objectStore.secret $values.objectStore.accessKeyKey) }}
{{- $wanted = append $wanted (list "ISOCENTER_S3__SECRET_KEY" $backends.objectStore.secret $values.objectStore.secretKeyKey) }}
{{- end }}
{{- range $wanted }}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 | quote }}, key: {{ index . 2 | quote }}}}
{{- end }}
{{- end }}

{{/* Name of a volume -> the Secret in it, mounted at /etc/isocenter/NAME. Call with (list CONTEXT ROLES USES). */}}
{{- define "isocenter.files" -}}
{{- $context := index . 0 }}
{{- $roles := index . 1 }}
{{- $values := $context.Values }}
{{- $backends := include "isocenter.backends" $context | fromYaml }}
{{- if eq $values.mode "distributed" }}
{{- range index . 2 }}
{{- $secret := (index $backends . "caSecret").name }}
{{- if $secret }}
ca-{{ lower . }}: {{ $secret | quote }}
{{- end }}
{{- end }}
{{- if $values.rpc.tls.enabled }}
rpc: {{ include "isocenter.rpcSecret" $context | quote }}
{{- end }}
{{- end }}
{{- if and $values.dicom.tls.enabled (has "gateway" $roles) }}
dicom: {{ include "isocenter.dicomSecret" $context | quote }}
{{- with $values.dicom.tls.clientCaSecret }}
dicom-clients: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Mounts and volumes that every pod has. Call with (list CONFIGMAP FILES). */}}
{{- define "isocenter.mounts" -}}
- {name: config, mountPath: /etc/isocenter/isocenter.toml, subPath: isocenter.toml, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- range $name, $secret := index . 1 }}
- {name: {{ $name }}, mountPath: /etc/isocenter/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "isocenter.volumes" -}}
- name: config
  configMap: {name: {{ index . 0 }}}
- name: tmp
  emptyDir: {}
{{- range $name, $secret := index . 1 }}
- name: {{ $name }}
  secret: {secretName: {{ $secret | quote }}}
{{- end }}
{{- end }}

{{- define "isocenter.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: monitor}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: monitor}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: monitor}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{- define "isocenter.ports" -}}
{{- $context := index . 0 }}
{{- $roles := index . 1 }}
- {name: monitor, containerPort: 9464}
{{- if eq $context.Values.mode "distributed" }}
- {name: grpc, containerPort: 50051}
{{- end }}
{{- if has "gateway" $roles }}
- {name: dicom, containerPort: 11112}
{{- if $context.Values.dicom.tls.enabled }}
- {name: dicom-tls, containerPort: 2762}
{{- end }}
{{- end }}
{{- if has "web" $roles }}
- {name: http, containerPort: 8080}
{{- end }}
{{- end }}
