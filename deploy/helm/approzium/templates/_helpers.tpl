{{/* The name of every object; cut so that suffixes fit. */}}
{{- define "approzium.name" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (default .Chart.Name .Values.nameOverride) | trunc 53 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* What never changes during a release's life. */}}
{{- define "approzium.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "approzium.labels" -}}
{{ include "approzium.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "approzium.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "approzium.name" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* The file approzium.yaml: what the chart mounts, over what the values say. */}}
{{- define "approzium.config" -}}
{{- $own := dict
      "listener" (dict "http_port" 6000 "grpc_port" 6001)
      "tls" (dict "tls_cert_path" "/etc/approzium/tls/tls.crt" "tls_key_path" "/etc/approzium/tls/tls.key")
      "secrets" (dict "secrets_manager" .Values.records.manager)
      "session" (dict "session_key_path" (printf "/etc/approzium/session/%s" .Values.sessionKeys.key))
-}}
{{- if eq .Values.records.manager "local" -}}
{{- $_ := set $own.secrets "local_secrets_path" (printf "/etc/approzium/records/%s" .Values.records.key) -}}
{{- else if eq .Values.records.manager "kubernetes" -}}
{{- $_ := set $own.secrets "kubernetes_secrets_path" "/etc/approzium/records" -}}
{{- end -}}
{{- if .Values.clientCa.secretName -}}
{{- $_ := set $own.tls "client_ca_path" "/etc/approzium/client-ca/ca.crt" -}}
{{- end -}}
{{- $defaults := dict "listener" (dict "host" "0.0.0.0" "drain_delay" "11s" "drain_timeout" "20s") -}}
{{- mergeOverwrite $defaults (deepCopy .Values.config) $own | toYaml -}}
{{- end -}}

{{/* The Secret of the records, where one is mounted: without a name, `volumes` brings the folder. */}}
{{- define "approzium.records" -}}
{{- if has .Values.records.manager (list "kubernetes" "local") -}}
{{ .Values.records.secretName }}
{{- end -}}
{{- end -}}
