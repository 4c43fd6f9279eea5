{{/* predict.yaml, for the ConfigMap and the Job. */}}
{{- define "predict.config" -}}
{{- with .Values -}}
{{- if and .run .model -}}
{{- fail (printf "model: expected either run or model, received both: %s and %s; remove one of them" .run .model) -}}
{{- end -}}
{{- $network := dict "run" .run "weights" .weights -}}
{{- if .model -}}
{{- if ne .weights "best" -}}
{{- fail "weights: expected none beside model, which has ImageNet weights; remove weights" -}}
{{- end -}}
{{- $network = dict "model" .model -}}
{{- else -}}
{{- $_ := required "run: expected the URL of a trained run, such as s3://bucket/runs/cars-1, received none; set run, or model" .run -}}
{{- end -}}
{{- include "cars.yaml" (merge $network (dict
  "input" (kindIs "slice" .input | ternary "/etc/cars-trainer/input.txt" (required "input: expected the URL of the images, such as s3://bucket/photos/, received none; set input" .input))
  "output" (required "output: expected the URL for the predictions, such as s3://bucket/predictions, received none; set output" .output)
  "part_size" .partSize
  "batch_size" .batchSize
  "max_bad_fraction" .maxBadFraction
  "format" .format
  "extend" .extend
  "metrics" (dict "port" .metrics.port)
)) -}}
{{- end -}}
{{- end -}}

{{/* The files beside predict.yaml: a list of images, one a line. */}}
{{- define "predict.files" -}}
{{- if kindIs "slice" .Values.input -}}
{{- $text := join "\n" .Values.input -}}
{{- if gt (len $text) 900000 -}}
{{- fail (printf "input: expected a list of at most 900,000 characters, received %d; put it into a file, one URL a line, and set input to its URL, s3://bucket/list.txt" (len $text)) -}}
{{- end -}}
{{- dict "input.txt" (printf "%s\n" $text) | toJson -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{- define "predict.network" -}}
{{- .Values.model | default (printf "the run %s" .Values.run) -}}
{{- end -}}

{{- define "predict.images" -}}
{{- if kindIs "slice" .Values.input }}{{ len .Values.input }} images of a list{{ else }}the images in {{ .Values.input }}{{ end -}}
{{- end -}}

{{/*
What `cars.job` takes, but the root, as JSON. A pod succeeds when all parts are done: then the others, also one on a
node that is lost, need not end.
*/}}
{{- define "predict.pods" -}}
{{- dict
  "file" "predict.yaml"
  "content" (include "predict.config" .)
  "files" (include "predict.files" .)
  "args" (list "predict" "--config" "/etc/cars-trainer/predict.yaml")
  "env" "predict.env"
  "grace" (include "cars.seconds" .Values.grace | int)
  "port" .Values.metrics.port
  "probes" false
  "subdomain" ""
  "token" false
  "elastic" false
  "restartOn" (list 75)
  "successPolicy" (dict "rules" (list (dict "succeededCount" 1)))
| toJson -}}
{{- end -}}

{{- define "predict.jobName" -}}
{{- include "cars.jobName" (merge (dict "root" .) (include "predict.pods" . | fromJson)) -}}
{{- end -}}

{{/*
TRAINER_PODS is part of the pod template: each pod begins with its fraction of the parts, and then takes those that
others leave.
*/}}
{{- define "predict.env" -}}
- {name: TRAINER_PODS, value: {{ include "cars.workers" .root | quote }}}
{{- end -}}
