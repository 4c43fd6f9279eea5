{{/* What an upgrade of a release may change. Edit the file in cars-train: scripts/generate copies it to cars-predict. */}}

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

{{/* Refuses to upgrade a Job that has failed: Kubernetes would accept it, and start nothing. */}}
{{- define "cars.checkEnded" -}}
{{- $name := .live.metadata.name -}}
{{- $namespace := .root.Release.Namespace -}}
{{- range dig "status" "conditions" list .live -}}
{{- if and (eq .type "Failed") (eq .status "True") -}}
{{- fail (printf "Job %s has failed (%s), and an upgrade does not start it again; run `kubectl -n %s delete job %s` and repeat the upgrade: finished work is kept" $name (.message | default .reason | trunc 120) $namespace $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the notes say of an upgrade that started nothing; "" if the Job is not complete. Takes `root` and `job`. */}}
{{- define "cars.complete" -}}
{{- $name := .job -}}
{{- $live := include "cars.liveJob" . | fromJson -}}
{{- range dig "status" "conditions" list $live -}}
{{- if and (eq .type "Complete") (eq .status "True") -}}
Job {{ $name }} was complete before this upgrade: nothing was started. To run it again
  kubectl -n {{ $.root.Release.Namespace }} delete job {{ $name }}    then repeat the upgrade
{{- end -}}
{{- end -}}
{{- end -}}
