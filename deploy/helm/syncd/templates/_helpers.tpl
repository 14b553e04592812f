{{/* The name of the application, by which selectors find its pods. */}}
{{- define "syncd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of what is made: the release's, with the chart's behind it unless it is in it. */}}
{{- define "syncd.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "syncd.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "syncd.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that never change during the life of a release. */}}
{{- define "syncd.selectorLabels" -}}
app.kubernetes.io/name: {{ include "syncd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of everything that is made. */}}
{{- define "syncd.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "syncd.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The account of the pod. */}}
{{- define "syncd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "syncd.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The image: by digest, or by tag, which is the chart's appVersion unless said otherwise. */}}
{{- define "syncd.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* How many pods there are: one with SQLite or in maintenance, two with PostgreSQL. */}}
{{- define "syncd.replicas" -}}
{{- if .Values.maintenance }}1
{{- else if kindIs "invalid" .Values.replicaCount }}
{{- eq .Values.store.type "postgresql" | ternary 2 1 }}
{{- else }}
{{- .Values.replicaCount }}
{{- end }}
{{- end }}

{{/* What cannot work is refused with the way out. */}}
{{- define "syncd.validate" -}}
{{- if and (eq .Values.store.type "sqlite") (gt (int (include "syncd.replicas" .)) 1) }}
{{- fail "a SQLite store serves one replica: set store.type=postgresql for a standby pair, or replicaCount=1" }}
{{- end }}
{{- if not (or .Values.config .Values.existingConfigMap) }}
{{- fail "there is no configuration: give syncd.toml by --set-file config=syncd.toml, or name a ConfigMap by existingConfigMap" }}
{{- end }}
{{- if and .Values.config .Values.existingConfigMap }}
{{- fail "there are two configurations: give either config or existingConfigMap" }}
{{- end }}
{{- if and (eq .Values.store.type "postgresql") (not .Values.existingSecret) }}
{{- fail (printf "the URL of the PostgreSQL store is a secret: name by existingSecret one that has the key %s" .Values.store.urlKey) }}
{{- end }}
{{- if and .Values.console.ingress.enabled (not (and .Values.console.enabled .Values.console.ingress.host)) }}
{{- fail "an ingress leads to the console: set console.enabled=true, and console.ingress.host to the host of web.external_url" }}
{{- end }}
{{- end }}

{{/* Variables and mounts are those of the daemon and of the container that migrates. */}}
{{- define "syncd.environment" -}}
env:
  {{- if eq .Values.store.type "postgresql" }}
  - name: SYNCD_STORE__URL   # empty is unset: it takes back the image's SQLite default
    value: ""
  - name: SYNCD_STORE__URL_FILE
    value: /run/secrets/syncd/{{ .Values.store.urlKey }}
  {{- else }}
  - name: SYNCD_STORE__URL
    value: sqlite:////var/lib/syncd/syncd.db
  {{- end }}
  - name: SYNCD_HEALTH__LISTEN
    value: 0.0.0.0:8080
  {{- if .Values.console.enabled }}
  - name: SYNCD_WEB__LISTEN
    value: 0.0.0.0:{{ .Values.console.port }}
  {{- end }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/syncd
    readOnly: true
  {{- if .Values.existingSecret }}
  - name: secrets
    mountPath: /run/secrets/syncd
    readOnly: true
  {{- end }}
  - name: store
    mountPath: /var/lib/syncd
  - name: tmp
    mountPath: /tmp
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
