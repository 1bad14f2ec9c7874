{{/* A server for trying out: Service and StatefulSet of one. Call with (list CONTEXT NAME VALUES DESCRIPTION). */}}
{{- define "isocenter.server" -}}
{{- $context := index . 0 }}
{{- $name := printf "dev-%s" (index . 1) }}
{{- $full := printf "%s-%s" (include "isocenter.fullname" $context) $name }}
{{- $values := index . 2 }}
{{- $server := index . 3 }}
apiVersion: v1
kind: Service
metadata:
  name: {{ $full | quote }}
  labels:
    {{- include "isocenter.labels" $context | nindent 4 }}
    app.kubernetes.io/component: {{ $name | quote }}
spec:
  clusterIP: None
  # A broker talks to itself before it is ready.
  publishNotReadyAddresses: true
  selector:
    {{- include "isocenter.selector" $context | nindent 4 }}
    app.kubernetes.io/component: {{ $name | quote }}
  ports:
    - {name: server, port: {{ $server.port }}, targetPort: server}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $full | quote }}
  labels:
    {{- include "isocenter.labels" $context | nindent 4 }}
    app.kubernetes.io/component: {{ $name | quote }}
spec:
  replicas: 1
  serviceName: {{ $full }}
  selector:
    matchLabels:
      {{- include "isocenter.selector" $context | nindent 6 }}
      app.kubernetes.io/component: {{ $name | quote }}
  template:
    metadata:
      # No version among them: an upgrade of Isocenter does not restart its servers.
      labels:
        {{- include "isocenter.selector" $context | nindent 8 }}
        app.kubernetes.io/component: {{ $name | quote }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 1000
        runAsGroup: 1000
        fsGroup: 1000
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: {type: RuntimeDefault}
      {{- if $server.scratch }}
      initContainers:
        # What the image holds where it also writes, on a volume: its own file system is read-only.
        - name: scratch
          image: {{ $values.image.repository }}:{{ $values.image.tag }}
          imagePullPolicy: {{ $context.Values.image.pullPolicy }}
          command:
            - sh
            - -c
            - |
              for folder in {{ join " " $server.scratch }}; do
                  mkdir -p "/scratch$folder"
                  [ ! -d "$folder" ] || cp -r "$folder/." "/scratch$folder/"
              done
          resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
          securityContext:
            {{- include "isocenter.containerSecurity" $context | nindent 12 }}
          volumeMounts:
            - {name: scratch, mountPath: /scratch}
      {{- end }}
      containers:
        - name: server
          image: {{ $values.image.repository }}:{{ $values.image.tag }}
          imagePullPolicy: {{ $context.Values.image.pullPolicy }}
          {{- with $server.args }}
          args: {{ toJson . }}
          {{- end }}
          ports:
            - {name: server, containerPort: {{ $server.port }}}
          env:
            {{- range $key, $value := $server.env }}
            - {name: {{ $key }}, value: {{ $value | quote }}}
            {{- end }}
            {{- range $variable, $key := $server.secrets }}
            - name: {{ $variable }}
              valueFrom: {secretKeyRef: {name: {{ $full }}, key: {{ $key | quote }}}}
            {{- end }}
          startupProbe:
            {{- toYaml $server.probe | nindent 12 }}
            periodSeconds: 2
            timeoutSeconds: 3
            failureThreshold: 90
          livenessProbe:
            tcpSocket: {port: server}
            periodSeconds: 10
          readinessProbe:
            {{- toYaml $server.probe | nindent 12 }}
            periodSeconds: 5
            timeoutSeconds: 3
          resources: {{ toJson $values.resources }}
          securityContext:
            {{- include "isocenter.containerSecurity" $context | nindent 12 }}
          volumeMounts:
            - {name: data, mountPath: {{ $server.data }}}
            - {name: scratch, mountPath: /tmp, subPath: tmp}
            {{- range $server.scratch }}
            - {name: scratch, mountPath: {{ . }}, subPath: {{ trimPrefix "/" . }}}
            {{- end }}
      volumes:
        - name: scratch
          emptyDir: {}
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $context.Values.dev.storageClassName }}
        storageClassName: {{ . | quote }}
        {{- end }}
        resources: {requests: {storage: {{ $values.size }}}}
{{- end }}
