{{/* The headless Service. Unlike other names, its name must begin with a letter. */}}
{{- define "train.service" -}}
{{- $name := include "cars.name" . -}}
{{- regexMatch "^[a-z]" $name | ternary $name (printf "cars-%s" $name) -}}
{{- end -}}

{{- define "train.gangSecret" -}}
{{- .Values.gang.existingSecret | default (printf "%s-gang" (include "cars.name" .)) -}}
{{- end -}}

{{/* The run's configuration, for the ConfigMap and the Job. */}}
{{- define "train.run" -}}
{{- $_ := required "run.data.url: expected the URL of the dataset, such as s3://bucket/cars, received none; set run.data.url" .Values.run.data.url -}}
{{- $_ := required "run.run.url: expected the URL of the run's folder, such as s3://bucket/runs/cars-1, received none; set run.run.url" .Values.run.run.url -}}
{{- if and (gt (include "cars.workers" . | int) 1) (eq (dig "distribution" "strategy" "" .Values.run) "mirrored") -}}
{{- fail (printf "run.distribution.strategy: mirrored is for one pod, received workers %v; use horovod, or one pod with more GPUs" (include "cars.workers" .)) -}}
{{- end -}}
{{- include "train.checkLanes" . -}}
{{- if eq (int .Values.run.metrics.port) 29400 -}}
{{- fail "run.metrics.port: expected another port than 29400, at which the pods answer each other, received 29400" -}}
{{- end -}}
{{- $run := deepCopy .Values.run -}}
{{- if kindIs "map" .Values.workers -}}
{{- if gt (int .Values.workers.min) (int .Values.workers.max) -}}
{{- fail (printf "workers.min: expected at most workers.max %v, received %v" .Values.workers.max .Values.workers.min) -}}
{{- end -}}
{{- if dig "distribution" "min_ranks" "" .Values.run -}}
{{- fail "run.distribution.min_ranks: it follows from workers.min; remove one of them" -}}
{{- end -}}
{{- $_ := set $run "distribution" (get $run "distribution" | default dict) -}}
{{- $_ := set $run.distribution "min_ranks" (mul (int .Values.workers.min) (include "train.ranks" . | int)) -}}
{{- end -}}
{{- include "cars.yaml" $run -}}
{{- end -}}

{{/*
Refuses more ranks than the run has lanes, where the values say how many: one lane is the least that a rank can have.
By default they are the largest divisor of the global batch up to 64; without train.batch_size the recipe knows it.
*/}}
{{- define "train.checkLanes" -}}
{{- $train := get .Values.run "train" | default dict -}}
{{- $lanes := get $train "lanes" | default 0 | int -}}
{{- $batch := get $train "batch_size" | default 0 | int -}}
{{- if and $batch (not $lanes) -}}
{{- range untilStep 1 65 1 }}{{ if eq (mod $batch .) 0 }}{{ $lanes = . }}{{ end }}{{ end -}}
{{- end -}}
{{- $most := ternary (div $lanes (include "train.ranks" . | int)) 10000 (gt $lanes 0) -}}
{{- if gt (include "cars.workers" . | int) (int $most) -}}
{{- fail (printf "workers: expected at most %d, as the run has %d lanes (train.lanes, or by train.batch_size) and each pod %s rank%s, received %s" $most $lanes (include "train.ranks" .) (ternary "" "s" (eq (include "train.ranks" .) "1")) (include "cars.workers" .)) -}}
{{- end -}}
{{- end -}}

{{/* Refuses to install into the folder of a run that another release of the namespace trains: it would supersede it. */}}
{{- define "train.checkFolder" -}}
{{- if and .Release.IsInstall (not .Values.takeOver) -}}
{{- $mine := .Values.run.run.url | trimSuffix "/" -}}
{{- $jobs := include "cars.live" (dict "apiVersion" "batch/v1" "kind" "Job" "namespace" .Release.Namespace "name" "") | fromJson -}}
{{- range dig "items" list $jobs -}}
{{- $values := dig "metadata" "annotations" "cars-trainer/values" "{}" . | fromJson -}}
{{- $release := dig "metadata" "labels" "app.kubernetes.io/instance" "" . -}}
{{- $over := false -}}
{{- range dig "status" "conditions" list . -}}
{{- if and (has .type (list "Complete" "Failed")) (eq .status "True") }}{{ $over = true }}{{ end -}}
{{- end -}}
{{- $run := get $values "run" -}}
{{- if and (kindIs "map" $run) (not $over) (ne $release $.Release.Name) -}}
{{- if eq (dig "run" "url" "" $run | trimSuffix "/") $mine -}}
{{- fail (printf "run.run.url: release %s trains %s now, and would be stopped permanently; use another run.run.url, or uninstall it first, or take its run over with takeOver=true" $release $mine) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The number of ranks in each pod, as `supervise --ranks` counts them. */}}
{{- define "train.ranks" -}}
{{- eq (toString .Values.ranksPerPod) "auto" | ternary (max 1 (int .Values.gpu.perPod)) (int .Values.ranksPerPod) -}}
{{- end -}}

{{/* What `cars.job` takes, but the root, as JSON. */}}
{{- define "train.pods" -}}
{{- $ranks := ternary list (list "--ranks" (toString .Values.ranksPerPod)) (eq (toString .Values.ranksPerPod) "auto") -}}
{{- dict
  "file" "run.yaml"
  "content" (include "train.run" .)
  "args" (concat (list "supervise" "--config" "/etc/cars-trainer/run.yaml") $ranks)
  "env" "train.env"
  "grace" (add 5 (include "cars.seconds" .Values.run.run.grace | int))
  "port" .Values.run.metrics.port
  "probes" true
  "subdomain" (include "train.service" .)
  "token" true
  "elastic" true
  "restartOn" (list 1 75 137 143)
| toJson -}}
{{- end -}}

{{- define "train.jobName" -}}
{{- include "cars.jobName" (merge (dict "root" .) (include "train.pods" . | fromJson)) -}}
{{- end -}}

{{/* The container's own environment. Takes `root` and `job`, the Job's name. */}}
{{- define "train.env" -}}
{{- if .root.Values.replaceLostPods }}
- {name: TRAINER_REPLACE_LOST_PODS, value: "true"}
{{- end }}
- {name: TRAINER_COORDINATOR, value: {{ printf "%s-0.%s" .job (include "train.service" .root) | quote }}}
# By reference: the number may change while the pod template may not.
- name: TRAINER_PODS
  valueFrom: {configMapKeyRef: {name: {{ include "cars.name" .root | quote }}, key: workers}}
- {name: TRAINER_RELEASE, value: {{ .root.Release.Name | quote }}}
- name: TRAINER_TAKE_OVER
  valueFrom: {configMapKeyRef: {name: {{ include "cars.name" .root | quote }}, key: takeOver, optional: true}}
- name: TRAINER_GANG_KEY
  valueFrom: {secretKeyRef: {name: {{ include "train.gangSecret" .root | quote }}, key: key}}
{{- end -}}
