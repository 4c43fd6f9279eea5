{{/* The Job of both charts. Edit the file in cars-train: scripts/generate copies it to cars-predict. */}}

{{/*
The Indexed Job. Takes
  root       the chart's own context
  file       the configuration's file name in /etc/cars-trainer
  content    its content
  args       the container's arguments
  env        the template of the chart's own environment
  grace      seconds between SIGTERM and SIGKILL
  port       of /metrics, or nothing
  probes     whether /healthz and /readyz are there too
  subdomain  the headless Service, or nothing
  token      whether the pod uses the Kubernetes API
  elastic    whether `workers` may change while the Job runs
  restartOn  exit codes after which the container is started again in its pod
  successPolicy  of the Job, or nothing
*/}}
{{- define "cars.job" -}}
{{- $root := dict "Values" (.root.Values | toJson | fromJson) "Chart" .root.Chart "Release" .root.Release "Capabilities" .root.Capabilities -}}
{{- include "cars.check" $root -}}
{{- $name := include "cars.jobName" (merge (dict "root" $root) (omit . "root")) -}}
{{- $workers := include "cars.workers" $root | int -}}
{{- $live := include "cars.liveJob" (dict "root" $root "job" $name) | fromJson -}}
{{- $given := merge (dict "root" $root) (omit . "root") -}}
{{- $fixed := include "cars.fixed" (merge (dict "live" $live "job" $name) $given) -}}
{{- $annotations := include "cars.annotations" (merge (dict "live" $live) $given) | fromJson -}}
{{- with $live }}{{ include "cars.checkEnded" (dict "root" $root "live" .) }}{{ include "cars.checkUpgrade" (dict "root" $root "live" . "annotations" $annotations) }}{{ end -}}
{{- with $root.Values -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name | quote }}
  labels: {{- include "cars.labels" $root | nindent 4 }}
    {{- with include "cars.given" (dict "path" "jobLabels" "given" (.jobLabels | default dict) "own" (include "cars.labels" $root)) }}{{ . | nindent 4 }}{{ end }}
  annotations: {{- toYaml $annotations | nindent 4 }}
    {{- /* Kueue may then grant fewer pods, and more later. */}}
    {{- if and (kindIs "map" .workers) (hasKey (.jobLabels | default dict) "kueue.x-k8s.io/queue-name") }}
    {{- $_ := set $annotations "kueue.x-k8s.io/elastic-job" "true" }}
    kueue.x-k8s.io/elastic-job: "true"
    {{- end }}
    {{- with include "cars.given" (dict "path" "jobAnnotations" "given" (.jobAnnotations | default dict) "own" (toYaml $annotations)) }}{{ . | nindent 4 }}{{ end }}
spec:
  completions: {{ $workers }}
  parallelism: {{ $workers }}
  {{- /* A queue or a user resumes the Job: an upgrade keeps its current state. */}}
  {{- if .suspend }}
  suspend: {{ dig "spec" "suspend" (empty $live) $live }}
  {{- end }}
  maxFailedIndexes: {{ min .maxFailedIndexes $workers }}
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

{{/* The release's Job in the cluster, as JSON: {} at an installation. Takes `root` and `job`, its name. */}}
{{- define "cars.liveJob" -}}
{{- if .root.Release.IsUpgrade -}}
{{- include "cars.live" (dict "apiVersion" "batch/v1" "kind" "Job" "namespace" .root.Release.Namespace "name" .job) -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/*
The Job's own annotations, as JSON: a checksum of what Kubernetes never lets change in it, and the values that it comes
from. Takes what `cars.job` takes, and the `live` Job.
*/}}
{{- define "cars.annotations" -}}
{{- $root := dict "Values" (.root.Values | toJson | fromJson) "Chart" .root.Chart "Release" .root.Release "Capabilities" .root.Capabilities -}}
{{- $given := merge (dict "root" $root "live" (.live | default dict)) (omit . "root") -}}
{{- $fixed := include "cars.fixed" (merge (dict "job" (include "cars.jobName" $given)) $given) -}}
{{- $values := omit $root.Values "suspend" "maxFailedIndexes" "ttlSecondsAfterFinished" "activeDeadlineSeconds" "jobLabels" "jobAnnotations" "podMonitor" "networkPolicy" "podDisruptionBudget" "takeOver" "extraObjects" "upgradePolicy" "rollbackReplacesJob" "global" -}}
{{- $_ := set $values "serviceAccount" (pick $root.Values.serviceAccount "create" "name") -}}
{{- if kindIs "slice" (get $values "input") -}}
{{- $_ := set $values "input" (printf "%d images, sha256:%s" (len $values.input) (toJson $values.input | sha256sum | trunc 16)) -}}
{{- end -}}
{{- if .elastic -}}
{{- $_ := set $values "workers" (omit (kindIs "map" $root.Values.workers | ternary $root.Values.workers dict) "max") -}}
{{- end -}}
{{- dict "cars-trainer/fixed" (sha256sum $fixed) "cars-trainer/values" (toRawJson $values) | toJson -}}
{{- end -}}

{{/*
The Job's name, with upgradePolicy recreate followed by a hash of what Kubernetes never lets change in it: an upgrade or
a rollback of the pods then makes another Job. The hash is the same on every version of Kubernetes.
*/}}
{{- define "cars.jobName" -}}
{{- $name := include "cars.name" .root -}}
{{- if eq .root.Values.upgradePolicy "recreate" -}}
{{- $fixed := include "cars.fixed" (merge (dict "job" $name "live" dict) (omit . "restartOn")) -}}
{{- $hash := printf "%s\n%v" $fixed .root.Values.restartInPod | sha256sum | trunc 8 -}}
{{- printf "%s-%s" (trunc 43 $name | trimAll "-") $hash -}}
{{- else -}}
{{- $name -}}
{{- end -}}
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
{{- with $.successPolicy }}
successPolicy: {{- toYaml . | nindent 2 }}
{{- end }}
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
    terminationGracePeriodSeconds: {{ int64 $.grace }}
    securityContext:
      {{- include "cars.podSecurityContext" $root | nindent 6 }}
    {{- with .image.pullSecrets }}
    imagePullSecrets: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with include "cars.tolerations" $root | fromYamlArray }}
    tolerations: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- range $key := list "nodeSelector" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "schedulerName" "dnsConfig" "resourceClaims" }}
    {{- with index $root.Values $key }}
    {{ $key }}: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
    {{- if .hostNetwork }}
    hostNetwork: true
    {{- end }}
    {{- with .dnsPolicy | default (ternary "ClusterFirstWithHostNet" "" .hostNetwork) }}
    dnsPolicy: {{ . }}
    {{- end }}
    {{- if or .initContainers .sidecars }}
    initContainers:
      {{- with .initContainers }}{{ toYaml . | nindent 6 }}{{ end }}
      {{- /* Native sidecars: they end when the trainer has ended, so that the pod does. */}}
      {{- range .sidecars }}
      {{- toYaml (list (merge (dict "restartPolicy" "Always") .)) | nindent 6 }}
      {{- end }}
    {{- end }}
    containers:
      - name: trainer
        image: {{ include "cars.image" $root | quote }}
        imagePullPolicy: {{ .image.pullPolicy }}
        {{- with include "cars.restartRules" $ }}
        {{- . | nindent 8 }}
        {{- end }}
        args: {{- toYaml $.args | nindent 10 }}
        env: {{- include "cars.env" $ | nindent 10 }}
        {{- with .envFrom }}
        envFrom: {{- toYaml . | nindent 10 }}
        {{- end }}
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
          {{- include "cars.resources" $root | nindent 10 }}
          {{- with .resourceClaims }}
          claims:
            {{- range . }}
            - {name: {{ .name }}}
            {{- end }}
          {{- end }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities:
            drop: [ALL]
            {{- with .addCapabilities }}
            add: {{ toJson . }}
            {{- end }}
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

{{/*
Restarts of the container in its pod, which then keeps its address, its GPUs and its cache: the Job does not see them.
Kubernetes has them from 1.35 on. An upgrade keeps what the live Job has, as the cluster may have been upgraded since.
*/}}
{{- define "cars.restartRules" -}}
{{- $possible := semverCompare ">=1.35-0" (include "cars.kubeVersion" .root) -}}
{{- range dig "spec" "template" "spec" "containers" list .live -}}
{{- if eq .name "trainer" }}{{ $possible = hasKey . "restartPolicyRules" }}{{ end -}}
{{- end -}}
{{- if and .root.Values.restartInPod $possible .restartOn -}}
restartPolicy: Never
restartPolicyRules:
  - action: Restart
    exitCodes: {operator: In, values: {{ toJson .restartOn }}}
{{- end -}}
{{- end -}}

{{/* The given tolerations, and for how long a pod stays on a node that is lost, where they do not say it. */}}
{{- define "cars.tolerations" -}}
{{- $all := .Values.tolerations | default list -}}
{{- if not (kindIs "invalid" .Values.unreachableSeconds) -}}
{{- range $key := list "node.kubernetes.io/unreachable" "node.kubernetes.io/not-ready" -}}
{{- $given := false -}}
{{- range $all }}{{ if eq (default "" .key) $key }}{{ $given = true }}{{ end }}{{ end -}}
{{- if not $given -}}
{{- $all = append $all (dict "key" $key "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" (int64 $.Values.unreachableSeconds)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}
