{{/* What all objects are labelled with. */}}
{{- define "coco.labels" -}}
{{ include "coco.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* What its pods are found by. */}}
{{- define "coco.selector" -}}
app.kubernetes.io/name: coco
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Bytes of a size of Coco, a whole number and a unit. */}}
{{- define "coco.bytes" -}}
{{- $units := dict "B" 1 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 "TiB" 1099511627776 "PiB" 1125899906842624
  "KB" 1000 "MB" 1000000 "GB" 1000000000 -}}
{{- if not (regexMatch "^[0-9]+([KMGTP]iB|[KMG]?B)$" .) -}}
{{- fail (printf "spool.size is %q, which Coco does not understand: give a whole number and B, KiB, MiB, GiB, TiB, PiB, KB, MB or GB, as in \"10GiB\"" .) -}}
{{- end -}}
{{- mulf (regexFind "^[0-9]+" . | float64) (get $units (regexFind "[A-Za-z]+$" .)) -}}
{{- end }}

{{/* Bytes of a quantity of Kubernetes: a number, and a unit or a power of ten. */}}
{{- define "coco.quantity" -}}
{{- $units := dict "" 1 "n" 1e-9 "u" 1e-6 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- if not (regexMatch "^[+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE])?$" .) -}}
{{- fail (printf "spool.volume is %q, which is no quantity of Kubernetes: give a number and Ki, Mi, Gi, Ti, Pi, Ei, k, M, G, T, P or E, as in \"12Gi\"" .) -}}
{{- end -}}
{{- $number := regexFind "^[+]?[0-9.]+([eE][+-]?[0-9]+)?" . -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number .)) -}}
{{- end }}

{{/* Fails where Coco does not take the size of the spool, or it may become larger than what a file system has of its volume: 95 % of one of a GiB or more.
An emptyDir that holds more than its limit takes the pod with it. */}}
{{- define "coco.fits" -}}
{{- $size := include "coco.bytes" (.size | default "") | float64 -}}
{{- if or (lt $size 1048576.0) (gt $size 1125899906842624.0) -}}
{{- fail (printf "spool.size is %s, and Coco takes 1MiB to 1PiB" .size) -}}
{{- end -}}
{{- $volume := include "coco.quantity" (.volume | default "") | float64 -}}
{{- if gt $size (mulf $volume 0.95) -}}
{{- $most := divf (mulf $volume 0.95) 1048576 | floor | int64 -}}
{{- $least := divf $size 0.95 1048576 | ceil | int64 -}}
{{- $or := ternary (printf ", or spool.size to %dMiB or less" $most) "" (gt $most 0) -}}
{{- fail (printf "spool.size is %s, and spool.volume %s, of which a file system leaves 95 %%: set spool.volume to %dMi or more%s" .size .volume $least $or) -}}
{{- end -}}
{{- end }}

{{/* coco.toml. */}}
{{- define "coco.config" -}}
{{- include "coco.fits" .Values.spool -}}
{{- with regexFind "(?m)^[ \t]*\\[\\s*(listen|graphite|spool|api|limits)\\s*([.][^]\n]*)?\\]" .Values.extraConfig -}}
{{- fail (printf "extraConfig has %s, which the chart has already: Coco would not start. Only other sections go there" (trim .)) -}}
{{- end -}}
[listen]
bind = "0.0.0.0:25826"
receive_buffer = "4MiB"         # as far as the node's net.core.rmem_max allows

[graphite]
bind = "0.0.0.0:2003"
pickle = "0.0.0.0:2004"
receive_buffer = "4MiB"

[api]
bind = "0.0.0.0:9090"           # the kubelet and Prometheus ask it

[spool]
directory = "/var/lib/coco/spool"
size = "{{ .Values.spool.size }}"

[limits]
drain_delay = "{{ .Values.drain.delaySeconds }}s"
drain_timeout = "{{ .Values.drain.timeoutSeconds }}s"
{{ .Values.limits | trim }}
{{ range $name, $tier := .Values.tiers }}
[tiers.{{ $name }}]
{{ $tier.settings | default "" | trim }}
targets = [
{{- range $number := until (int $tier.count) }}
{{- $pod := printf "%s-%d" $tier.statefulSet $number }}
  { id = "{{ $pod }}", address = "{{ $pod }}.{{ $tier.service }}.{{ $tier.namespace | default $.Release.Namespace }}.svc:{{ $tier.port }}" },
{{- end }}
]
{{ end }}
{{- .Values.extraConfig }}
{{- end }}
