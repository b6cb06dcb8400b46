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

{{/* coco.toml. */}}
{{- define "coco.config" -}}
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
