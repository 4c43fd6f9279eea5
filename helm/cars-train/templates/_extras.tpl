{{/* What a release may have beside its Job. Edit the file in cars-train: scripts/generate copies it to cars-predict. */}}

{{/* How many pods an eviction leaves: by default all but one, so that a drain takes them one after the other. */}}
{{- define "cars.podDisruptionBudget" -}}
{{- if .Values.podDisruptionBudget.enabled }}
{{- $workers := include "cars.workers" . | int }}
{{- $least := .Values.podDisruptionBudget.minAvailable }}
{{- if eq (toString $least) "auto" }}{{ $least = sub $workers 1 }}{{ end }}
{{- if gt (int $least) $workers }}
{{- fail (printf "podDisruptionBudget.minAvailable: expected at most workers %d, received %v" $workers $least) }}
{{- end }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "cars.name" . | quote }}
  labels: {{- include "cars.labels" . | nindent 4 }}
spec:
  minAvailable: {{ int $least }}
  unhealthyPodEvictionPolicy: {{ .Values.podDisruptionBudget.unhealthyPodEvictionPolicy }}
  selector:
    matchLabels: {{- include "cars.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Takes `root`, and `gang`: whether the pods connect to each other. */}}
{{- define "cars.networkPolicy" -}}
{{- $root := .root -}}
{{- $gang := .gang -}}
{{- with $root.Values.networkPolicy }}
{{- if .enabled }}
{{- if and .egress.restricted (not .egress.rules) }}
{{- fail (printf "networkPolicy.egress.rules: expected egress rules for the object store%s because networkPolicy.egress.restricted is true, received none; add them" (ternary " and the Kubernetes API" "" $gang)) }}
{{- end }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "cars.name" $root | quote }}
  labels: {{- include "cars.labels" $root | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "cars.selectorLabels" $root | nindent 6 }}
  policyTypes: [Ingress{{ if .egress.restricted }}, Egress{{ end }}]
  ingress:
    {{- if $gang }}
    # All ports: those of Horovod's data are not known beforehand.
    - from:
        - podSelector:
            matchLabels: {{- include "cars.selectorLabels" $root | nindent 14 }}
    {{- end }}
    - ports:
        - {port: metrics, protocol: TCP}
      {{- with .metricsFrom }}
      from: {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- if .egress.restricted }}
  egress:
    {{- if $gang }}
    - to:
        - podSelector:
            matchLabels: {{- include "cars.selectorLabels" $root | nindent 14 }}
    {{- end }}
    # DNS, wherever the cluster answers it.
    - ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
    {{- toYaml .egress.rules | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Objects of the user's own, each with the release's labels beside its own. Text in them may use templates. */}}
{{- define "cars.extraObjects" -}}
{{- range .Values.extraObjects }}
{{- $object := tpl (toYaml .) $ | fromYaml }}
{{- $metadata := get $object "metadata" }}
{{- $_ := set $metadata "labels" (merge (get $metadata "labels" | default dict) (include "cars.labels" $ | fromYaml)) }}
---
{{ toYaml $object }}
{{- end }}
{{- end -}}
