{{/* predict.yaml, for the ConfigMap and the Job. */}}
{{- define "predict.config" -}}
{{- with .Values -}}
{{- include "cars.yaml" (dict
  "input" (required "input: expected the URL of the images, such as s3://bucket/photos/, received none; set input" .input)
  "output" (required "output: expected the URL for the predictions, such as s3://bucket/predictions, received none; set output" .output)
  "run" (required "run: expected the URL of a trained run, such as s3://bucket/runs/cars-1, received none; set run" .run)
  "weights" .weights
  "part_size" .partSize
  "batch_size" .batchSize
  "max_bad_fraction" .maxBadFraction
  "format" .format
  "extend" .extend
  "metrics" (dict "port" .metrics.port)
) -}}
{{- end -}}
{{- end -}}
