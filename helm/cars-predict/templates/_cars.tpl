{{/* Helpers of both charts. Edit the file in cars-train: scripts/generate copies it to cars-predict. */}}

{{/* The release's name, so that `kubectl logs job/RELEASE` works. Dots are not allowed in the host names of pods. */}}
{{- define "cars.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | replace "." "-" | trunc 52 | trimAll "-" -}}
{{- end -}}

{{/* The only labels used in selectors and in the pod template, which is immutable. */}}
{{- define "cars.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "cars.labels" -}}
{{ include "cars.selectorLabels" . }}
app.kubernetes.io/part-of: cars-trainer
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{/* The labels or annotations `given` by the value `path`. Those of the chart (YAML in `own`) cannot be replaced. */}}
{{- define "cars.given" -}}
{{- $own := fromYaml .own -}}
{{- range $key := keys .given | sortAlpha -}}
{{- if hasKey $own $key -}}
{{- fail (printf "%s: %s is set by the chart; remove it from %s" $.path $key $.path) -}}
{{- end -}}
{{- end -}}
{{- with .given }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "cars.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cars.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "cars.name" .) -}}
{{- else -}}
{{- required "serviceAccount.name: expected the name of a ServiceAccount because serviceAccount.create is false, received none; set it, or set serviceAccount.create=true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Whole seconds, rounded up, of a number or of 30s, 5m, 2h, 1d. */}}
{{- define "cars.seconds" -}}
{{- $text := toString . -}}
{{- $factor := get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) (regexFind "[smhd]$" $text) | default 1 -}}
{{- mulf (float64 (regexFind "^[0-9.]+" $text)) $factor | ceil | int64 -}}
{{- end -}}

{{- define "cars.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "cars.serviceAccountName" . | quote }}
  labels: {{- include "cars.labels" . | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}

{{/*
The configuration that the Job mounts: one immutable ConfigMap for each content, so that an upgrade, refused or not,
never changes what the pods of a running Job read. Takes `root`, the `file` and its `content`, and JSON of other `files`.
*/}}
{{- define "cars.config" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "cars.configName" . | quote }}
  labels: {{- include "cars.labels" .root | nindent 4 }}
immutable: true
data:
  {{ .file }}: |
    {{- .content | nindent 4 }}
  {{- with .files | default "{}" | fromJson }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "cars.configName" -}}
{{ include "cars.name" .root }}-{{ printf "%s\n%s%s" .file .content (.files | default "" | trimPrefix "{}") | sha256sum | trunc 10 }}
{{- end -}}

{{/* The version of the cluster; without one, that of Helm's own client. */}}
{{- define "cars.kubeVersion" -}}
{{- .Capabilities.KubeVersion.Version -}}
{{- end -}}

{{/* The number of pods; of a range, the most. */}}
{{- define "cars.workers" -}}
{{- kindIs "map" .Values.workers | ternary .Values.workers (dict "max" .Values.workers) | dig "max" 1 | int -}}
{{- end -}}

{{/* The value as YAML, the same whether it comes from a file, from --set or from --reuse-values. */}}
{{- define "cars.yaml" -}}
{{ . | toJson | fromJson | toYaml }}
{{- end -}}

{{/* The object in the cluster, as JSON: {} if it does not exist, and for `helm template`. */}}
{{- define "cars.live" -}}
{{- lookup .apiVersion .kind .namespace .name | toJson -}}
{{- end -}}

{{/* Credentials by reference only: the keys of a Secret, or the ServiceAccount's annotations (IRSA). */}}
{{- define "cars.s3Env" -}}
{{- with .Values.s3 }}
{{- with .endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .region }}
- name: AWS_DEFAULT_REGION
  value: {{ . | quote }}
{{- end }}
{{- if .existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret | quote }}, key: {{ .secretKeys.accessKeyId | quote }}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret | quote }}, key: {{ .secretKeys.secretAccessKey | quote }}}
- name: AWS_SESSION_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret | quote }}, key: {{ .secretKeys.sessionToken | quote }}, optional: true}
{{- end }}
{{- end }}
{{- end -}}

{{/* The container's environment: the chart's own variables (those of one chart by its template `env`), then extraEnv. */}}
{{- define "cars.env" -}}
{{- $own := include "cars.ownEnv" . -}}
{{- $sources := dict "AWS_ENDPOINT_URL" "s3.endpoint" "AWS_DEFAULT_REGION" "s3.region" "AWS_ACCESS_KEY_ID" "s3.existingSecret" "AWS_SECRET_ACCESS_KEY" "s3.existingSecret" "AWS_SESSION_TOKEN" "s3.existingSecret" "TRAINER_GANG_KEY" "gang.existingSecret" -}}
{{- $known := dict "JOB_COMPLETION_INDEX" "" -}}
{{- range fromYamlArray $own }}{{ $_ := set $known .name (get $sources .name) }}{{ end -}}
{{- $given := dict -}}
{{- range .root.Values.extraEnv -}}
{{- if hasKey $known .name -}}
{{- $remedy := printf "remove it from extraEnv%s" (get $known .name | empty | ternary "" (printf " and use %s" (get $known .name))) -}}
{{- fail (printf "extraEnv: %s is set by the chart; %s" .name $remedy) -}}
{{- end -}}
{{- if hasKey $given .name -}}
{{- fail (printf "extraEnv: expected each variable once, received %s twice; remove one of them" .name) -}}
{{- end -}}
{{- $_ := set $given .name true -}}
{{- end -}}
{{- $own }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cars.ownEnv" -}}
- {name: TRAINER_JOB, value: {{ .job | quote }}}
- name: TRAINER_JOB_UID
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']"}}
- name: TRAINER_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: TRAINER_NODE
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: TRAINER_POD_INDEX
  valueFrom: {fieldRef: {fieldPath: "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
- {name: HOME, value: /tmp}
{{- with include .env . | trim }}
{{ . }}
{{- end }}
{{- with include "cars.s3Env" .root | trim }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "cars.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.podSecurityContext }}
{{ toYaml . }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* The folder of the run's disk cache, if it has one. */}}
{{- define "cars.cachePath" -}}
{{- if kindIs "map" .Values.run -}}
{{- with .Values.run.data }}{{ with .cache }}{{ .path }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Labels of the pods that the chart or the Job controller sets. */}}
{{- define "cars.reservedPodLabels" -}}
{{ include "cars.selectorLabels" . }}
{{- range list "job-name" "controller-uid" "job-completion-index" }}
batch.kubernetes.io/{{ . }}: ""
{{- end }}
job-name: ""
controller-uid: ""
{{- end -}}

{{/*
The command that makes this release's store reachable for `aws` where helm runs, if the store is inside the cluster.
*/}}
{{- define "cars.forward" -}}
{{- with .Values.s3.endpoint -}}
{{- $host := splitList ":" (urlParse .).host -}}
{{- if or (not (contains "." (first $host))) (contains ".svc" (first $host)) -}}
{{- $port := ternary (last $host) "80" (eq (len $host) 2) -}}
kubectl -n {{ $.Release.Namespace }} port-forward svc/{{ first (splitList "." (first $host)) }} {{ $port }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cars.endpoint" -}}
{{- with .Values.s3.endpoint -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | default ":80" -}}
{{- " " }}--endpoint-url {{ ternary (printf "http://localhost%s" $port) . (ne (include "cars.forward" $) "") -}}
{{- end -}}
{{- end -}}
