{{/* How copies are spread. Call with (list CONTEXT NAME SPREAD). */}}
{{- define "isocenter.spread" -}}
{{- $context := index . 0 }}
{{- $name := index . 1 }}
{{- $spread := index . 2 }}
{{- $keys := list }}
{{- if $spread.zones }}{{ $keys = append $keys "topology.kubernetes.io/zone" }}{{ end }}
{{- if $spread.hosts }}{{ $keys = append $keys "kubernetes.io/hostname" }}{{ end }}
{{- with $keys }}
topologySpreadConstraints:
  {{- range . }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "isocenter.selector" $context | nindent 8 }}
        app.kubernetes.io/component: {{ $name | quote }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}

{{/* Where pods may run. Call with the deployment's values. */}}
{{- define "isocenter.placing" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end }}

{{/* The container that makes what servers lack. Call with (list CONTEXT FILES). */}}
{{- define "isocenter.preparing" -}}
{{- $context := index . 0 }}
image: {{ include "isocenter.image" $context }}
imagePullPolicy: {{ $context.Values.image.pullPolicy }}
args: [check, --prepare, --wait, {{ $context.Values.prepare.waitSeconds | quote }}]
env:
  {{- include "isocenter.credentials" (list $context (list "kafka" "elasticsearch" "objectStore")) | nindent 2 }}
resources: {{ toJson $context.Values.prepare.resources }}
securityContext:
  {{- include "isocenter.containerSecurity" $context | nindent 2 }}
volumeMounts:
  {{- include "isocenter.mounts" (index . 1) | nindent 2 }}
{{- end }}
