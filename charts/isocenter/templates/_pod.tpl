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
{{- if has "audit" $roles }}
audit-keys: {{ include "isocenter.auditSecret" $context | quote }}
{{- end }}
{{- end }}
{{- if and $values.access.oidc.issuer (or (has "web" $roles) (has "gateway" $roles)) }}
{{- with $values.access.oidc.existingSecret }}
oidc: {{ . | quote }}
{{- end }}
{{- with $values.access.oidc.caSecret.name }}
ca-oidc: {{ . | quote }}
{{- end }}
{{- end }}
{{- /* The preparation calls no role, and comes before there is a Secret. */}}
{{- if and $values.rpc.tls.enabled $roles }}
rpc: {{ include "isocenter.rpcSecret" $context | quote }}
{{- end }}
{{- if and $values.dicom.tls.enabled (has "gateway" $roles) }}
dicom: {{ include "isocenter.dicomSecret" $context | quote }}
{{- with $values.dicom.tls.clientCaSecret }}
dicom-clients: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Mounts that every pod has. Call with its files. */}}
{{- define "isocenter.mounts" -}}
- {name: config, mountPath: /etc/isocenter/isocenter.toml, subPath: isocenter.toml, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- range $name, $secret := . }}
- {name: {{ $name }}, mountPath: /etc/isocenter/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}

{{/* Their volumes. Call with (list CONFIGMAP FILES). */}}
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
- {name: api, containerPort: 50052}
{{- end }}
{{- end }}

{{/* The pod template of Isocenter's own workloads. Call with a dict: context, component, one (the deployment's values),
roles, uses (servers whose credentials it gets), args, files, toml, spread (text), prepared, data (a claim's name). */}}
{{- define "isocenter.podTemplate" -}}
{{- $context := .context }}
{{- $one := .one }}
{{- $config := printf "%s-%s" (include "isocenter.fullname" $context) .component }}
metadata:
  labels:
    {{- include "isocenter.labels" $context | nindent 4 }}
    app.kubernetes.io/component: {{ .component | quote }}
    {{- range .roles }}
    isocenter.io/{{ . }}: "true"
    {{- end }}
    {{- with $one.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/settings: {{ sha256sum .toml | quote }}
    {{- with $one.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "isocenter.fullname" $context | quote }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $context.Values.image.pullSecrets }}
  imagePullSecrets: {{ toJson . }}
  {{- end }}
  {{- with $one.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  terminationGracePeriodSeconds: {{ add $one.preStopSeconds $one.drainSeconds 10 }}
  securityContext:
    {{- include "isocenter.podSecurity" $context | nindent 4 }}
  {{- with .spread }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- include "isocenter.placing" $one | nindent 2 }}
  {{- if .prepared }}
  initContainers:
    # Servers of the release itself come up beside the pods: wait for them, and make what they lack.
    - name: prepare
      {{- include "isocenter.preparing" (list $context .files) | nindent 6 }}
  {{- end }}
  containers:
    - name: isocenter
      image: {{ include "isocenter.image" $context }}
      imagePullPolicy: {{ $context.Values.image.pullPolicy }}
      args: {{ toJson .args }}
      ports:
        {{- include "isocenter.ports" (list $context .roles) | nindent 8 }}
      {{- with concat (include "isocenter.credentials" (list $context .uses) | fromYamlArray) $one.env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "isocenter.probes" $context | nindent 6 }}
      # Balancers forget the pod before it begins to refuse.
      lifecycle: {preStop: {sleep: {seconds: {{ $one.preStopSeconds }}}}}
      resources: {{ toJson $one.resources }}
      securityContext:
        {{- include "isocenter.containerSecurity" $context | nindent 8 }}
      volumeMounts:
        {{- include "isocenter.mounts" .files | nindent 8 }}
        {{- if include "isocenter.policy" $context }}
        # The whole folder: a file that is mounted alone does not change with its ConfigMap.
        - {name: policy, mountPath: /etc/isocenter/policy, readOnly: true}
        {{- end }}
        {{- if .data }}
        - {name: data, mountPath: /var/lib/isocenter}
        {{- else }}
        # What must survive a container, not the pod: counts of accesses that no record tells yet.
        - {name: tmp, mountPath: /var/lib/isocenter, subPath: isocenter}
        {{- end }}
  volumes:
    {{- include "isocenter.volumes" (list $config .files) | nindent 4 }}
    {{- with include "isocenter.policy" $context }}
    - name: policy
      configMap: {name: {{ . | quote }}, items: [{key: {{ $context.Values.access.policyConfigMap.key | quote }}, path: policy.toml}]}
    {{- end }}
    {{- with .data }}
    - name: data
      persistentVolumeClaim: {claimName: {{ . | quote }}}
    {{- end }}
{{- end }}
