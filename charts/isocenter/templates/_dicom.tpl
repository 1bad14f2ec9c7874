{{/* A DIMSE Service of one deployment. Call with (list CONTEXT NAME DEPLOYMENT SERVICE). */}}
{{- define "isocenter.dicomService" -}}
{{- $context := index . 0 }}
{{- $deployment := index . 2 }}
{{- $service := index . 3 }}
apiVersion: v1
kind: Service
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "isocenter.labels" $context | nindent 4 }}
    app.kubernetes.io/component: {{ $deployment | quote }}
  {{- with $service.annotations }}
  annotations: {{ toJson . }}
  {{- end }}
spec:
  type: {{ $service.type }}
  selector:
    {{- include "isocenter.selector" $context | nindent 4 }}
    app.kubernetes.io/component: {{ $deployment | quote }}
  {{- if ne $service.type "ClusterIP" }}
  # `Local` keeps the caller's address, by which an AE may be known.
  externalTrafficPolicy: {{ $service.externalTrafficPolicy }}
  {{- end }}
  {{- if eq $service.type "LoadBalancer" }}
  {{- with $service.loadBalancerClass }}
  loadBalancerClass: {{ . | quote }}
  {{- end }}
  {{- with $service.loadBalancerSourceRanges }}
  loadBalancerSourceRanges: {{ toJson . }}
  {{- end }}
  {{- end }}
  ports:
    - name: dicom
      port: 11112
      targetPort: dicom
      {{- with $service.nodePort }}
      nodePort: {{ . }}
      {{- end }}
    {{- if $context.Values.dicom.tls.enabled }}
    - name: dicom-tls
      port: 2762
      targetPort: dicom-tls
      {{- with $service.nodePortTls }}
      nodePort: {{ . }}
      {{- end }}
    {{- end }}
{{- end }}
