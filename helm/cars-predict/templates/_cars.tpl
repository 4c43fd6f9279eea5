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
never changes what the pods of a running Job read. Takes `root`, and the `file` and its `content`.
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
{{- end -}}

{{- define "cars.configName" -}}
{{ include "cars.name" .root }}-{{ printf "%s\n%s" .file .content | sha256sum | trunc 10 }}
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

{{/* The container's environment: the chart's own variables (with `env`, YAML of one chart), then extraEnv. */}}
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
- {name: TRAINER_JOB, value: {{ include "cars.name" .root | quote }}}
- name: TRAINER_JOB_UID
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']"}}
- name: TRAINER_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: TRAINER_NODE
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: TRAINER_POD_INDEX
  valueFrom: {fieldRef: {fieldPath: "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
- {name: HOME, value: /tmp}
{{- with .env }}
{{ . | trim }}
{{- end }}
{{- with include "cars.s3Env" .root | trim }}
{{ . }}
{{- end }}
{{- end -}}

{{/*
The Indexed Job. Takes
  root       the chart's own context
  file       the configuration's file name in /etc/cars-trainer
  content    its content
  args       the container's arguments
  env        YAML of the chart's own environment
  grace      seconds between SIGTERM and SIGKILL
  port       of /metrics, or nothing
  probes     whether /healthz and /readyz are there too
  subdomain  the headless Service, or nothing
  token      whether the pod uses the Kubernetes API
  elastic    whether `workers` may change while the Job runs
*/}}
{{- define "cars.job" -}}
{{- $root := dict "Values" (.root.Values | toJson | fromJson) "Chart" .root.Chart "Release" .root.Release -}}
{{- $name := include "cars.name" $root -}}
{{- $fixed := include "cars.fixed" (merge (dict "root" $root) (omit . "root")) -}}
{{- $values := omit $root.Values (ternary "workers" "" .elastic) "suspend" "maxFailedIndexes" "ttlSecondsAfterFinished" "activeDeadlineSeconds" "jobLabels" "jobAnnotations" "podMonitor" "networkPolicy" "global" -}}
{{- $_ := set $values "serviceAccount" (pick $root.Values.serviceAccount "create" "name") -}}
{{- $annotations := dict "cars-trainer/fixed" (sha256sum $fixed) "cars-trainer/values" (toRawJson $values) -}}
{{- $live := dict -}}
{{- if $root.Release.IsUpgrade -}}
{{- $live = include "cars.live" (dict "apiVersion" "batch/v1" "kind" "Job" "namespace" $root.Release.Namespace "name" $name) | fromJson -}}
{{- end -}}
{{- with $live }}{{ include "cars.checkUpgrade" (dict "root" $root "live" . "annotations" $annotations) }}{{ end -}}
{{- with $root.Values -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name | quote }}
  labels: {{- include "cars.labels" $root | nindent 4 }}
    {{- with include "cars.given" (dict "path" "jobLabels" "given" (.jobLabels | default dict) "own" (include "cars.labels" $root)) }}{{ . | nindent 4 }}{{ end }}
  annotations: {{- toYaml $annotations | nindent 4 }}
    {{- with include "cars.given" (dict "path" "jobAnnotations" "given" (.jobAnnotations | default dict) "own" (toYaml $annotations)) }}{{ . | nindent 4 }}{{ end }}
spec:
  completions: {{ int .workers }}
  parallelism: {{ int .workers }}
  {{- /* A queue or a user resumes the Job: an upgrade keeps its current state. */}}
  {{- if .suspend }}
  suspend: {{ dig "spec" "suspend" (empty $live) $live }}
  {{- end }}
  maxFailedIndexes: {{ min .maxFailedIndexes .workers }}
  podReplacementPolicy: Failed
  {{- if not (kindIs "invalid" .ttlSecondsAfterFinished) }}
  ttlSecondsAfterFinished: {{ int64 .ttlSecondsAfterFinished }}
  {{- end }}
  {{- if not (kindIs "invalid" .activeDeadlineSeconds) }}
  activeDeadlineSeconds: {{ int64 .activeDeadlineSeconds }}
  {{- end }}
  {{- $fixed | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The part of the Job's spec that Kubernetes never lets change. Nothing here may depend on the chart's version or, where
it may change, on the number of workers.
*/}}
{{- define "cars.fixed" -}}
{{- $root := .root -}}
{{- with .root.Values -}}
completionMode: Indexed
backoffLimitPerIndex: {{ int .backoffLimitPerIndex }}
podFailurePolicy:
  rules:
    # 64: the configuration or the data is invalid; a restart does not help.
    - action: FailJob
      onExitCodes: {containerName: trainer, operator: In, values: [64]}
    # Drained, preempted or evicted: not the pod's fault.
    - action: Ignore
      onPodConditions:
        - {type: DisruptionTarget, status: "True"}
    # 75: stopped on request with everything saved; restart.
    - action: Ignore
      onExitCodes: {containerName: trainer, operator: In, values: [75]}
template:
  metadata:
    labels: {{- include "cars.selectorLabels" $root | nindent 6 }}
      {{- with include "cars.given" (dict "path" "podLabels" "given" (.podLabels | default dict) "own" (include "cars.reservedPodLabels" $root)) }}{{ . | nindent 6 }}{{ end }}
    {{- with .podAnnotations }}
    annotations: {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    {{- with $.subdomain }}
    subdomain: {{ . | quote }}
    {{- end }}
    serviceAccountName: {{ include "cars.serviceAccountName" $root | quote }}
    automountServiceAccountToken: {{ $.token }}
    enableServiceLinks: false
    terminationGracePeriodSeconds: {{ $.grace }}
    securityContext:
      runAsNonRoot: true
      {{- with .podSecurityContext }}{{ toYaml . | nindent 6 }}{{ end }}
      seccompProfile: {type: RuntimeDefault}
    {{- with .image.pullSecrets }}
    imagePullSecrets: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "schedulerName" }}
    {{- with index $root.Values $key }}
    {{ $key }}: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
    containers:
      - name: trainer
        image: {{ include "cars.image" $root | quote }}
        imagePullPolicy: {{ .image.pullPolicy }}
        args: {{- toYaml $.args | nindent 10 }}
        env: {{- include "cars.env" $ | nindent 10 }}
        {{- with $.port }}
        ports:
          - {name: metrics, containerPort: {{ int . }}}
        {{- end }}
        {{- if and $.port $.probes }}
        readinessProbe:
          httpGet: {path: /readyz, port: metrics}
          initialDelaySeconds: 5
          periodSeconds: 5
          timeoutSeconds: 5
          failureThreshold: 6
        # The supervisor itself: it responds after the dataset was opened, which may wait for the store. /healthz fails
        # if its main loop is stuck for 60 s.
        startupProbe:
          httpGet: {path: /healthz, port: metrics}
          periodSeconds: 5
          timeoutSeconds: 5
          failureThreshold: 120
        livenessProbe:
          httpGet: {path: /healthz, port: metrics}
          periodSeconds: 20
          timeoutSeconds: 10
          failureThreshold: 3
        {{- end }}
        terminationMessagePolicy: FallbackToLogsOnError
        resources:
          {{- $limits := dict -}}
          {{- if .gpu.perPod }}{{ $_ := set $limits .gpu.resource .gpu.perPod }}{{ end }}
          limits: {{- merge $limits .resources.limits | toYaml | nindent 12 }}
          {{- with .resources.requests }}
          requests: {{- toYaml . | nindent 12 }}
          {{- end }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
        volumeMounts:
          - {name: config, mountPath: /etc/cars-trainer, readOnly: true}
          - {name: tmp, mountPath: /tmp}
          - {name: shm, mountPath: /dev/shm}
          {{- with include "cars.cachePath" $root }}
          - {name: cache, mountPath: {{ . | quote }}}
          {{- end }}
          {{- with .extraVolumeMounts }}{{ toYaml . | nindent 10 }}{{ end }}
    volumes:
      - name: config
        configMap: {name: {{ include "cars.configName" $ | quote }}}
      - name: tmp
        emptyDir: {}
      - name: shm
        emptyDir: {medium: Memory, sizeLimit: {{ toJson .sharedMemory }}}
      {{- if include "cars.cachePath" $root }}
      - name: cache
        {{- toYaml (.cacheVolume | default (dict "emptyDir" dict)) | nindent 8 }}
      {{- end }}
      {{- with .extraVolumes }}{{ toYaml . | nindent 6 }}{{ end }}
{{- end }}
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
Refuses an upgrade that Kubernetes would refuse half-way, and names the values. `live` is the existing Job,
`annotations` those of the new one.
*/}}
{{- define "cars.checkUpgrade" -}}
{{- $old := dig "metadata" "annotations" dict .live | default dict -}}
{{- if ne (get $old "cars-trainer/fixed") (get .annotations "cars-trainer/fixed") -}}
{{- $name := .live.metadata.name -}}
{{- $before := dict -}}
{{- $after := dict -}}
{{- include "cars.flatten" (dict "value" (get $old "cars-trainer/values" | default "{}" | fromJson) "path" "" "into" $before) -}}
{{- include "cars.flatten" (dict "value" (get .annotations "cars-trainer/values" | fromJson) "path" "" "into" $after) -}}
{{- $changes := list -}}
{{- range $path := concat (keys $before) (keys $after) | uniq | sortAlpha -}}
{{- $was := get $before $path | default "no value" -}}
{{- $is := get $after $path | default "no value" -}}
{{- if ne $was $is -}}
{{- $changes = append $changes (printf "%s: expected %s, received %s" $path (trunc 60 $was) (trunc 60 $is)) -}}
{{- end -}}
{{- end -}}
{{- if or (not $before) (not $changes) -}}
{{- $changes = list (printf "expected the version of %s that Job %s was created with, received %s" .root.Chart.Name $name .root.Chart.Version) -}}
{{- end -}}
{{- $more := sub (len $changes) 3 -}}
{{- $summary := slice $changes 0 (min 3 (len $changes) | int) | join "; " -}}
{{- if gt $more 0 }}{{ $summary = printf "%s; and %d more" $summary $more }}{{ end -}}
{{- fail (printf "%s (the pods of an existing Job cannot be changed); keep it as it is, or run `kubectl -n %s delete job %s` and repeat the upgrade" $summary .root.Release.Namespace $name) -}}
{{- end -}}
{{- end -}}

{{/* Sets `into` to the leaves of `value` by their dotted path, as JSON; empty values count as missing. */}}
{{- define "cars.flatten" -}}
{{- $top := . -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- include "cars.flatten" (dict "value" $value "path" (trimPrefix "." (printf "%s.%s" $top.path $key)) "into" $top.into) -}}
{{- end -}}
{{- else if not (or (kindIs "invalid" .value) (eq (toJson .value) "[]") (eq (toJson .value) "\"\"")) -}}
{{- $_ := set .into .path (toRawJson .value) -}}
{{- end -}}
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
