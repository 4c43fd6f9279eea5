{{/* The Jobs of `helm test` and `helm rollback`. Edit the file in cars-train: scripts/generate copies it to cars-predict. */}}

{{/*
A Job that runs once, with the release's own image, credentials and place, and is gone ten minutes later. Its labels are
not those that selectors take. Takes
  root        the chart's own context
  purpose     the end of its name
  hook        when Helm runs it
  containers  name -> what it runs, a list: the arguments of the image, or after `command` the whole command
  token       whether it uses the Kubernetes API
*/}}
{{- define "cars.hookJob" -}}
{{- $root := .root -}}
{{- with $root.Values -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "cars.hookName" $ | quote }}
  labels: {{- include "cars.hookLabels" $ | nindent 4 }}
  annotations:
    helm.sh/hook: {{ $.hook }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
spec:
  backoffLimit: 0
  activeDeadlineSeconds: 240
  ttlSecondsAfterFinished: 600
  template:
    metadata:
      labels: {{- include "cars.hookLabels" $ | nindent 8 }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ include "cars.serviceAccountName" $root | quote }}
      automountServiceAccountToken: {{ $.token }}
      enableServiceLinks: false
      securityContext: {{- include "cars.podSecurityContext" $root | nindent 8 }}
      {{- with .image.pullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- range $key := list "nodeSelector" "tolerations" "dnsConfig" }}
      {{- with index $root.Values $key }}
      {{ $key }}: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      containers:
        {{- range $name, $run := $.containers }}
        {{- with $root.Values }}
        - name: {{ $name }}
          image: {{ include "cars.image" $root | quote }}
          imagePullPolicy: {{ .image.pullPolicy }}
          {{- if eq (first $run) "command" }}
          command: {{- toYaml (rest $run) | nindent 12 }}
          {{- else }}
          args: {{- toYaml $run | nindent 12 }}
          {{- end }}
          env:
            - {name: HOME, value: /tmp}
            {{- with include "cars.s3Env" $root | trim }}{{ . | nindent 12 }}{{ end }}
            {{- with .extraEnv }}{{ toYaml . | nindent 12 }}{{ end }}
          {{- with .envFrom }}
          envFrom: {{- toYaml . | nindent 12 }}
          {{- end }}
          resources:
            requests: {cpu: 100m, memory: 256Mi, ephemeral-storage: 100Mi}
            limits: {cpu: "1", memory: 1Gi, ephemeral-storage: 1Gi}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- with .extraVolumeMounts }}{{ toYaml . | nindent 12 }}{{ end }}
        {{- end }}
        {{- end }}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 1Gi}
        {{- with .extraVolumes }}{{ toYaml . | nindent 8 }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "cars.hookName" -}}
{{ include "cars.name" .root | trunc 40 | trimAll "-" }}-{{ .purpose }}
{{- end -}}

{{- define "cars.hookLabels" -}}
app.kubernetes.io/name: {{ printf "%s-%s" .root.Chart.Name .purpose | quote }}
app.kubernetes.io/part-of: cars-trainer-hooks
{{- end -}}

{{/*
`helm test`: what is wrong with the folder that the release writes, and with what it reads. Takes `root` and
`containers`.
*/}}
{{- define "cars.doctor" -}}
{{- include "cars.hookJob" (merge (dict "purpose" "test" "hook" "test" "token" false) .) -}}
{{- end -}}

{{/*
A rollback sends an old manifest, and no template can look at the cluster beforehand: this Job does, and deletes the
release's Job if its pods would change. It must not fail: Helm would keep the release in the state pending-rollback.
Takes what `cars.job` takes.
*/}}
{{- define "cars.rollback" -}}
{{- if and .root.Values.rollbackReplacesJob (ne .root.Values.upgradePolicy "recreate") -}}
{{- $job := include "cars.jobName" . -}}
{{- $live := include "cars.liveJob" (dict "root" .root "job" $job) | fromJson -}}
{{- $all := include "cars.annotations" (merge (dict "live" $live) .) | fromJson -}}
{{- $command := list "command" "python" "-m" "trainer.cluster.rollback" .root.Release.Namespace $job (get $all "cars-trainer/fixed") (get $all "cars-trainer/values") -}}
{{- $hook := dict "root" .root "purpose" "rollback" "hook" "pre-rollback" "token" true "containers" (dict "replace" $command) -}}
{{- range $kind := list "Role" "RoleBinding" }}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ include "cars.hookName" $hook | quote }}
  labels: {{- include "cars.hookLabels" $hook | nindent 4 }}
  annotations:
    helm.sh/hook: pre-rollback
    helm.sh/hook-weight: "-1"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- if eq $kind "Role" }}
rules:
  - {apiGroups: [batch], resources: [jobs], resourceNames: [{{ $job | quote }}], verbs: [get, delete]}
{{- else }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ include "cars.hookName" $hook | quote }}}
subjects:
  - kind: ServiceAccount
    name: {{ include "cars.serviceAccountName" $hook.root | quote }}
    namespace: {{ $hook.root.Release.Namespace | quote }}
{{- end }}
---
{{- end }}
{{ include "cars.hookJob" $hook }}
{{- end -}}
{{- end -}}
