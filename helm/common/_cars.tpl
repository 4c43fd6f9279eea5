{{/* What cars-train and cars-predict share: names, labels, and the Job around one container. Linked into both. */}}

{{/* The release's name as it is: `kubectl logs job/RELEASE` then needs no thinking. */}}
{{- define "cars.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* The only labels that select, and that may stand in a pod template, which a Job never changes. */}}
{{- define "cars.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cars.labels" -}}
{{ include "cars.selectorLabels" . }}
app.kubernetes.io/part-of: cars-trainer
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
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
{{- required "serviceAccount.name: name an existing ServiceAccount, or set serviceAccount.create" .Values.serviceAccount.name -}}
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
  name: {{ include "cars.serviceAccountName" . }}
  labels: {{- include "cars.labels" . | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}

{{/* Credentials by reference only: a Secret's keys, or what the ServiceAccount's annotations bring (IRSA). */}}
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
    secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretKeys.accessKeyId }}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretKeys.secretAccessKey }}}
- name: AWS_SESSION_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretKeys.sessionToken }}, optional: true}
{{- end }}
{{- end }}
{{- end -}}

{{/*
The Indexed Job. Takes
  root       the chart's own context
  args       the container's arguments
  env        YAML of the chart's own environment
  grace      seconds between SIGTERM and SIGKILL
  port       of /metrics, /healthz and /readyz, or nothing
  subdomain  the headless Service, or nothing
  token      whether the pod speaks to the Kubernetes API
Nothing here may hold the chart's version: a Job's pod template is immutable, and an upgrade that changes
`workers` must leave it as it is.
*/}}
{{- define "cars.job" -}}
{{- $name := include "cars.name" .root -}}
{{- $root := .root -}}
{{- with .root.Values }}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  labels: {{- include "cars.labels" $root | nindent 4 }}
    {{- with .jobLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with .jobAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  completionMode: Indexed
  completions: {{ int .workers }}
  parallelism: {{ int .workers }}
  suspend: {{ .suspend }}
  backoffLimitPerIndex: {{ int .backoffLimitPerIndex }}
  maxFailedIndexes: {{ min .maxFailedIndexes .workers }}
  podReplacementPolicy: Failed
  {{- if not (kindIs "invalid" .ttlSecondsAfterFinished) }}
  ttlSecondsAfterFinished: {{ int64 .ttlSecondsAfterFinished }}
  {{- end }}
  {{- if not (kindIs "invalid" .activeDeadlineSeconds) }}
  activeDeadlineSeconds: {{ int64 .activeDeadlineSeconds }}
  {{- end }}
  podFailurePolicy:
    rules:
      # 64: the configuration or the data is wrong; starting again changes nothing.
      - action: FailJob
        onExitCodes: {containerName: trainer, operator: In, values: [64]}
      # Drained, preempted or evicted: nobody's fault.
      - action: Ignore
        onPodConditions:
          - {type: DisruptionTarget, status: "True"}
      # 75: stopped on request, everything is kept; start me again.
      - action: Ignore
        onExitCodes: {containerName: trainer, operator: In, values: [75]}
  template:
    metadata:
      labels: {{- include "cars.selectorLabels" $root | nindent 8 }}
        {{- with .podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with .podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      {{- with $.subdomain }}
      subdomain: {{ . }}
      {{- end }}
      serviceAccountName: {{ include "cars.serviceAccountName" $root }}
      automountServiceAccountToken: {{ $.token }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $.grace }}
      securityContext:
        runAsNonRoot: true
        {{- with .podSecurityContext }}{{ toYaml . | nindent 8 }}{{ end }}
        seccompProfile: {type: RuntimeDefault}
      {{- with .image.pullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "schedulerName" }}
      {{- with index $root.Values $key }}
      {{ $key }}: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      containers:
        - name: trainer
          image: {{ include "cars.image" $root | quote }}
          imagePullPolicy: {{ .image.pullPolicy }}
          args: {{- toYaml $.args | nindent 12 }}
          env:
            - {name: TRAINER_JOB, value: {{ $name }}}
            - name: TRAINER_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - name: TRAINER_POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: TRAINER_NODE_NAME
              valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
            - name: TRAINER_POD_INDEX
              valueFrom: {fieldRef: {fieldPath: "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
            # By reference: the number may change while the pod template may not.
            - name: TRAINER_PODS
              valueFrom: {configMapKeyRef: {name: {{ $name }}, key: workers}}
            - {name: HOME, value: /tmp}
            {{- with $.env }}{{ . | nindent 12 }}{{ end }}
            {{- with include "cars.s3Env" $root | trim }}{{ . | nindent 12 }}{{ end }}
            {{- with .extraEnv }}{{ toYaml . | nindent 12 }}{{ end }}
          {{- with $.port }}
          ports:
            - {name: metrics, containerPort: {{ . }}}
          readinessProbe:
            httpGet: {path: /readyz, port: metrics}
            initialDelaySeconds: 5
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 6
          {{- end }}
          terminationMessagePolicy: FallbackToLogsOnError
          resources:
            {{- $limits := dict -}}
            {{- if .gpu.perPod }}{{ $_ := set $limits .gpu.resource .gpu.perPod }}{{ end }}
            limits: {{- merge $limits .resources.limits | toYaml | nindent 14 }}
            {{- with .resources.requests }}
            requests: {{- toYaml . | nindent 14 }}
            {{- end }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: config, mountPath: /etc/cars-trainer, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            - {name: shm, mountPath: /dev/shm}
            - {name: cache, mountPath: /cache}
            {{- with .extraVolumeMounts }}{{ toYaml . | nindent 12 }}{{ end }}
      volumes:
        - name: config
          configMap: {name: {{ $name }}}
        - name: tmp
          emptyDir: {}
        - name: shm
          emptyDir: {medium: Memory, sizeLimit: {{ .sharedMemory }}}
        - name: cache
          {{- if .cache.storageClass }}
          ephemeral:
            volumeClaimTemplate:
              spec:
                accessModes: [ReadWriteOnce]
                storageClassName: {{ .cache.storageClass }}
                resources: {requests: {storage: {{ .cache.size }}}}
          {{- else }}
          emptyDir: {sizeLimit: {{ .cache.size }}}
          {{- end }}
        {{- with .extraVolumes }}{{ toYaml . | nindent 8 }}{{ end }}
{{- end }}
{{- end -}}

{{/*
How `aws` reaches this release's store from where helm runs: a store inside the cluster needs a port forwarded.
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
