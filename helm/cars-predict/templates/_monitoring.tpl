{{/* Alerts and dashboards. Edit the file in cars-train: scripts/generate copies it to cars-predict. */}}

{{/*
Each file of alerts/ is an alert, with its words ${…} replaced. Takes `root`, and `words`: what else stands for words in
the files.
*/}}
{{- define "cars.prometheusRule" -}}
{{- $root := .root -}}
{{- $rule := $root.Values.prometheusRule -}}
{{- if $rule.enabled }}
{{- if not (or $root.Values.podMonitor.enabled $rule.job) }}
{{- fail "prometheusRule.job: expected the label `job` of the release's metrics because podMonitor.enabled is false, received none; set it, or set podMonitor.enabled=true" }}
{{- end }}
{{- $words := merge (include "cars.alertWords" $root | fromJson) (.words | default dict) }}
{{- $files := $root.Files.Glob "alerts/*.yaml" }}
{{- $known := list }}
{{- range $path, $_ := $files }}{{ $known = append $known (base $path | trimSuffix ".yaml") }}{{ end }}
{{- range $rule.disabled }}
{{- if not (has . $known) }}
{{- fail (printf "prometheusRule.disabled: expected alerts of %s, received %q" (join ", " $known) .) }}
{{- end }}
{{- end }}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {{ include "cars.name" $root | quote }}
  labels: {{- include "cars.labels" $root | nindent 4 }}
    {{- with include "cars.given" (dict "path" "prometheusRule.labels" "given" ($rule.labels | default dict) "own" (include "cars.labels" $root)) }}{{ . | nindent 4 }}{{ end }}
spec:
  groups:
    - name: {{ include "cars.name" $root | quote }}
      rules:
        {{- range $path, $_ := $files }}
        {{- $name := base $path | trimSuffix ".yaml" }}
        {{- if not (has $name $rule.disabled) }}
        {{- $text := $root.Files.Get $path }}
        {{- range $word, $value := $words }}{{ $text = replace (printf "${%s}" $word) $value $text }}{{ end }}
        {{- $alert := fromYaml $text }}
        {{- $_ := set $alert "labels" (mergeOverwrite (dict "release" $root.Release.Name) $alert.labels ($rule.alertLabels | default dict)) }}
        {{- $_ := set $alert.annotations "runbook_url" (printf "%s/%s.md" (trimSuffix "/" $rule.runbooks) $name) }}
        - {{- toYaml $alert | nindent 10 }}
        {{- end }}
        {{- end }}
{{- end }}
{{- end -}}

{{/*
What the words in alerts stand for, as JSON: `release`, `jobs` and `pods` select what is of this release; a threshold
that is a duration is also there in seconds, as NAME.seconds.
*/}}
{{- define "cars.alertWords" -}}
{{- $name := include "cars.name" . -}}
{{- $namespace := printf "namespace=%q" .Release.Namespace -}}
{{- $job := .Values.prometheusRule.job | default (printf "%s/%s" .Release.Namespace $name) -}}
{{- /* As cars.jobName has it, also with upgradePolicy recreate. */}}
{{- $jobs := printf "(%s|%s-[0-9a-f]{8})" $name (trunc 43 $name | trimAll "-") -}}
{{- $words := dict "name" $name "release" (printf "job=%q" $job) "jobs" (printf "%s,job_name=~%q" $namespace $jobs) "pods" (printf "%s,pod=~%q" $namespace (printf "%s-[0-9]+-[a-z0-9]{5}" $jobs)) -}}
{{- range $key, $value := .Values.prometheusRule.thresholds -}}
{{- $_ := set $words $key (toString $value) -}}
{{- if kindIs "string" $value }}{{ $_ := set $words (printf "%s.seconds" $key) (include "cars.seconds" $value) }}{{ end -}}
{{- end -}}
{{- toJson $words -}}
{{- end -}}

{{/* The files of dashboards/, where Grafana's sidecar finds them. They show every release, and are the same in each. */}}
{{- define "cars.dashboards" -}}
{{- if .Values.dashboard.enabled }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ printf "%s-dashboard" (include "cars.name" .) | quote }}
  labels: {{- include "cars.labels" . | nindent 4 }}
    {{- with include "cars.given" (dict "path" "dashboard.labels" "given" (merge dict (.Values.dashboard.labels | default dict) (dict "grafana_dashboard" "1")) "own" (include "cars.labels" .)) }}{{ . | nindent 4 }}{{ end }}
  {{- with .Values.dashboard.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
data:
  {{- (.Files.Glob "dashboards/*.json").AsConfig | nindent 2 }}
{{- end }}
{{- end -}}
