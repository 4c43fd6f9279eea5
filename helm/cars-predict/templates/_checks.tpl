{{/* What Kubernetes would refuse when half of the objects exist, refused before anything is sent. Edit the file in
cars-train: scripts/generate copies it to cars-predict. */}}

{{- define "cars.check" -}}
{{- include "cars.checkKeys" . -}}
{{- include "cars.checkResources" . -}}
{{- include "cars.checkVolumes" . -}}
{{- include "cars.checkTolerations" . -}}
{{- include "cars.checkEnv" . -}}
{{- include "cars.checkContainers" . -}}
{{- with .Values.image.repository -}}
{{- if ne . (lower .) -}}
{{- fail (printf "image.repository: expected lower case, received %s; an image's name has no capitals" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The keys of labels, annotations and resources. */}}
{{- define "cars.checkKeys" -}}
{{- $key := "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" -}}
{{- $values := dict "jobLabels" .Values.jobLabels "jobAnnotations" .Values.jobAnnotations "podLabels" .Values.podLabels "podAnnotations" .Values.podAnnotations "nodeSelector" .Values.nodeSelector "serviceAccount.annotations" .Values.serviceAccount.annotations "podMonitor.labels" .Values.podMonitor.labels "prometheusRule.labels" .Values.prometheusRule.labels "dashboard.labels" .Values.dashboard.labels "dashboard.annotations" .Values.dashboard.annotations -}}
{{- range $path, $given := $values -}}
{{- range $name, $_ := $given -}}
{{- if not (regexMatch $key $name) -}}
{{- fail (printf "%s: expected keys such as example.com/team, whose last part has at most 63 letters, digits, -, _ and ., received %q" $path (trunc 80 $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $kind, $given := .Values.resources -}}
{{- range $name, $_ := $given -}}
{{- if not (regexMatch "^(cpu|memory|ephemeral-storage|hugepages-[0-9]+[KMG]i|[a-z0-9.-]+/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$" $name) -}}
{{- fail (printf "resources.%s: expected cpu, memory, ephemeral-storage or a name such as example.com/device, received %q" $kind $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The container's resources: `auto` follows gpu.perPod. */}}
{{- define "cars.resources" -}}
{{- $gpus := int .Values.gpu.perPod -}}
{{- $cached := and (include "cars.cachePath" .) (or (empty .Values.cacheVolume) (hasKey .Values.cacheVolume "emptyDir")) -}}
{{- $auto := dict "requests" (dict "cpu" (mul 4 $gpus | max 1) "memory" (ternary (printf "%dGi" (mul 16 $gpus)) "2Gi" (gt $gpus 0)) "ephemeral-storage" "1Gi") "limits" (dict "cpu" (ternary nil "4" (gt $gpus 0)) "memory" (ternary (printf "%dGi" (mul 32 $gpus)) "8Gi" (gt $gpus 0)) "ephemeral-storage" (ternary nil "20Gi" (not (empty $cached)))) -}}
{{- $found := dict -}}
{{- range $kind := list "requests" "limits" -}}
{{- $own := dict -}}
{{- range $name, $value := get $.Values.resources $kind -}}
{{- $chosen := eq (toString $value) "auto" | ternary (get (get $auto $kind) $name) $value -}}
{{- if not (kindIs "invalid" $chosen) }}{{ $_ := set $own $name (toString $chosen) }}{{ end -}}
{{- end -}}
{{- $_ := set $found $kind $own -}}
{{- end -}}
{{- /* What is asked for without a number follows a lower limit that was given. */}}
{{- range $name := list "cpu" "memory" "ephemeral-storage" -}}
{{- if and (eq (get (get $.Values.resources "requests" | default dict) $name | toString) "auto") (hasKey $found.limits $name) -}}
{{- if gt (include "cars.quantity" (get $found.requests $name) | float64) (include "cars.quantity" (get $found.limits $name) | float64) -}}
{{- $_ := set $found.requests $name (get $found.limits $name) -}}
{{- end -}}
{{- end -}}
{{- if and (eq (get (get $.Values.resources "limits" | default dict) $name | toString) "auto") (hasKey $found.requests $name) (hasKey $found.limits $name) -}}
{{- if gt (include "cars.quantity" (get $found.requests $name) | float64) (include "cars.quantity" (get $found.limits $name) | float64) -}}
{{- $_ := set $found.limits $name (get $found.requests $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $gpus }}{{ $_ := set $found.limits .Values.gpu.resource $gpus }}{{ end -}}
{{- toYaml $found -}}
{{- end -}}

{{- define "cars.checkResources" -}}
{{- range $kind, $own := .Values.resources -}}
{{- if hasKey ($own | default dict) $.Values.gpu.resource -}}
{{- fail (printf "resources.%s: %s is set by gpu.perPod; remove it" $kind $.Values.gpu.resource) -}}
{{- end -}}
{{- end -}}
{{- $all := include "cars.resources" . | fromYaml -}}
{{- range $name, $wanted := $all.requests -}}
{{- $limit := get $all.limits $name -}}
{{- if hasKey $all.limits $name -}}
{{- if gt (include "cars.quantity" $wanted | float64) (include "cars.quantity" $limit | float64) -}}
{{- fail (printf "resources.requests.%s: expected at most resources.limits.%s %v, received %v" $name $name $limit $wanted) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^(cpu|memory|ephemeral-storage)$" $name) -}}
{{- if ne (toString $wanted) (toString $limit) -}}
{{- fail (printf "resources.requests.%s: expected resources.limits.%s to be the same, received %v and %v" $name $name $wanted ($limit | default "none")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if gt (include "cars.quantity" .Values.sharedMemory | float64) (include "cars.quantity" $all.limits.memory | float64) -}}
{{- fail (printf "sharedMemory: expected at most resources.limits.memory %v, of which it is a part, received %v" $all.limits.memory .Values.sharedMemory) -}}
{{- end -}}
{{- end -}}

{{/* A quantity such as 500m, 2, 8Gi as a number. */}}
{{- define "cars.quantity" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)$" $text -}}
{{- $factors := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 -}}
{{- mulf (float64 (trimSuffix $unit $text)) (get $factors $unit | default 1.0) -}}
{{- end -}}

{{- define "cars.checkVolumes" -}}
{{- $names := dict "config" true "tmp" true "shm" true "cache" true -}}
{{- $paths := dict "/etc/cars-trainer" "the configuration" "/tmp" "the chart's own volume" "/dev/shm" "sharedMemory" -}}
{{- $cache := include "cars.cachePath" . -}}
{{- if and (get .Values "cacheVolume") (not $cache) -}}
{{- fail "cacheVolume: expected run.data.cache.path, where it is mounted, received none; set it, or remove cacheVolume" -}}
{{- end -}}
{{- if $cache -}}
{{- if hasKey $paths (clean $cache) -}}
{{- fail (printf "run.data.cache.path: expected a folder of its own, received %s, where the chart mounts %s" $cache (get $paths (clean $cache))) -}}
{{- end -}}
{{- $_ := set $paths (clean $cache) "the cache" -}}
{{- end -}}
{{- $given := dict -}}
{{- range .Values.extraVolumes -}}
{{- if hasKey $names .name -}}
{{- fail (printf "extraVolumes: %s is a volume of the chart; choose another name" .name) -}}
{{- end -}}
{{- if hasKey $given .name -}}
{{- fail (printf "extraVolumes: expected each name once, received %s twice" .name) -}}
{{- end -}}
{{- $_ := set $given .name true -}}
{{- end -}}
{{- $used := dict -}}
{{- range .Values.extraVolumeMounts -}}
{{- if not (or (hasKey $given .name) (and $cache (eq .name "cache"))) -}}
{{- fail (printf "extraVolumeMounts: expected the name of a volume in extraVolumes, received %s; add it there" .name) -}}
{{- end -}}
{{- $path := clean .mountPath -}}
{{- if hasKey $paths $path -}}
{{- fail (printf "extraVolumeMounts: the chart mounts %s at %s; choose another path" (get $paths $path) $path) -}}
{{- end -}}
{{- if hasKey $used $path -}}
{{- fail (printf "extraVolumeMounts: expected one mount at each path, received two at %s" $path) -}}
{{- end -}}
{{- $_ := set $used $path true -}}
{{- end -}}
{{- end -}}

{{- define "cars.checkTolerations" -}}
{{- range .Values.tolerations -}}
{{- $operator := .operator | default "Equal" -}}
{{- if and (eq $operator "Exists") .value -}}
{{- fail (printf "tolerations: expected no value beside operator Exists, received %q; remove one of them" .value) -}}
{{- end -}}
{{- if and (not .key) (ne $operator "Exists") -}}
{{- fail (printf "tolerations: expected a key, or operator Exists, received neither: %s" (toJson .)) -}}
{{- end -}}
{{- if and (hasKey . "tolerationSeconds") (ne (.effect | default "") "NoExecute") -}}
{{- fail (printf "tolerations: expected effect NoExecute beside tolerationSeconds, received %s" (toJson .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Containers beside the trainer, and how they and it reach the network. */}}
{{- define "cars.checkContainers" -}}
{{- $names := dict "trainer" true -}}
{{- range $path := list "initContainers" "sidecars" -}}
{{- range get $.Values $path -}}
{{- if eq .name "trainer" -}}
{{- fail (printf "%s: trainer is the container of the chart; choose another name" $path) -}}
{{- end -}}
{{- if hasKey $names .name -}}
{{- fail (printf "%s: expected each name once in initContainers and sidecars, received %s twice" $path .name) -}}
{{- end -}}
{{- $_ := set $names .name true -}}
{{- if and (eq $path "initContainers") (eq (.restartPolicy | default "") "Always") -}}
{{- fail (printf "initContainers: %s never ends by itself (restartPolicy Always); move it to sidecars" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.dnsPolicy "None") (empty (get .Values.dnsConfig "nameservers")) -}}
{{- fail "dnsPolicy: expected dnsConfig.nameservers beside None, received none; add them" -}}
{{- end -}}
{{- end -}}

{{/* A secret as a plain value would stand in the Job, and in the release's values. */}}
{{- define "cars.checkEnv" -}}
{{- range .Values.extraEnv -}}
{{- $secret := regexMatch "(SECRET|PASSWORD|CREDENTIAL|ACCESS_KEY|(^|_)TOKEN(_|$))" .name -}}
{{- if and (hasKey . "value") $secret (not (regexMatch "_(FILE|PATH|URI|URL)$" .name)) -}}
{{- fail (printf "extraEnv: expected a secret by reference, received the value of %s; put it into a Secret and use valueFrom: {secretKeyRef: {name: …, key: …}}" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
