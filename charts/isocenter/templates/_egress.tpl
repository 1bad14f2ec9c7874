{{/* Egress rules to servers. Call with (list CONTEXT BACKENDS). */}}
{{- define "isocenter.toBackends" -}}
{{- $context := index . 0 }}
{{- $backends := include "isocenter.backends" $context | fromYaml }}
{{- range index . 1 }}
{{- $ports := list }}
{{- range (index $backends .).hosts }}
{{- $ports = append $ports (dict "port" (regexFind "[0-9]+$" . | int)) }}
{{- end }}
- ports: {{ $ports | uniq | toJson }}
  {{- with index $context.Values.networkPolicy.backends . }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
