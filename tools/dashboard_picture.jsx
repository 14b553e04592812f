// Draws deploy/grafana/syncd.json by Grafana's own components (@grafana/ui), with what a Prometheus knows.
// docs/development/documentation.md says how the picture in docs/pictures was made with it. No server of Grafana is needed.
import 'uplot/dist/uPlot.min.css';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { FieldType, ThemeContext, createTheme, dateTime, getDisplayProcessor, toDataFrame } from '@grafana/data';
import { BigValue, BigValueTextMode, GlobalStyles, LegendDisplayMode, PanelChrome, TimeSeries } from '@grafana/ui';

const asked = new URLSearchParams(location.search); // prometheus=http://127.0.0.1:9090&minutes=20
const STEP = 15;
const TO = Math.floor(Date.now() / 1000 / STEP) * STEP;
const FROM = TO - Number(asked.get('minutes') ?? 20) * 60;
const ROW = 38;
const GAP = 8;
const range = { from: dateTime(FROM * 1000), to: dateTime(TO * 1000) };
range.raw = { from: range.from, to: range.to };
const theme = createTheme({ colors: { mode: 'dark' } });
// What the panel "timeseries" takes for what a dashboard leaves out.
const LINES = {
  drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, showPoints: 'auto', pointSize: 5, spanNulls: false,
  axisPlacement: 'auto', scaleDistribution: { type: 'linear' }, hideFrom: {}, thresholdsStyle: { mode: 'off' },
};

async function load(panel) {
  const frames = [];
  for (const target of panel.targets) {
    const query = target.expr.replace(/\$job\b/g, '.*');
    const said = await fetch(
      `${asked.get('prometheus')}/api/v1/query_range?${new URLSearchParams({ query, start: FROM, end: TO, step: STEP })}`
    );
    const { data, error } = await said.json();
    if (error) throw new Error(error);
    for (const series of data.result) frames.push(makeFrame(panel, target, series, frames.length));
  }
  return frames;
}

function makeFrame(panel, target, series, seriesIndex) {
  const name = target.legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label) => series.metric[label] ?? '');
  const at = new Map(series.values.map(([time, value]) => [Math.round(time), parseFloat(value)]));
  const times = Array.from({ length: (TO - FROM) / STEP + 1 }, (_, index) => FROM + index * STEP);
  const { defaults, overrides } = panel.fieldConfig;
  const own = overrides.find(({ matcher }) => matcher.id === 'byName' && matcher.options === name);
  const colour = own?.properties.find(({ id }) => id === 'color')?.value;
  const config = {
    ...defaults,
    displayName: name,
    color: colour ?? { mode: panel.type === 'stat' ? 'thresholds' : 'palette-classic' },
    custom: { ...LINES, ...defaults.custom, stacking: { group: 'A', mode: 'none', ...defaults.custom?.stacking } },
  };
  const values = times.map((time) => (Number.isFinite(at.get(time)) ? at.get(time) : null));
  const frame = toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: times.map((time) => time * 1000), config: {} },
      { name: 'Value', type: FieldType.number, values, labels: series.metric, config },
    ],
  });
  for (const field of frame.fields) field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
  frame.fields[1].state = { seriesIndex };
  return frame;
}

function Stat({ panel, frames, width, height }) {
  const shows = panel.options.textMode === 'name' ? BigValueTextMode.Name : BigValueTextMode.Auto;
  return frames.map(({ fields: [, field] }, index) => {
    const value = field.display([...field.values].reverse().find((each) => each !== null) ?? null);
    const title = frames.length > 1 || shows === BigValueTextMode.Name ? field.config.displayName : undefined;
    return (
      <BigValue key={index} value={{ ...value, title }} width={width / frames.length} height={height} theme={theme}
        count={frames.length} textMode={shows} colorMode="value" graphMode="none" justifyMode="auto" />
    );
  });
}

function Panel({ panel, column }) {
  const [frames, setFrames] = React.useState([]);
  React.useEffect(() => void load(panel).then(setFrames), []);
  const { x, y, w, h } = panel.gridPos;
  const place = { position: 'absolute', left: x * column, top: y * ROW };
  const size = { width: w * column - GAP, height: h * ROW - GAP };
  const lines = { displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: true, calcs: [] };
  const draw = (width, height) => {
    if (frames.length === 0) return 'No data';
    if (panel.type === 'stat') return <Stat panel={panel} frames={frames} width={width} height={height} />;
    return (
      <TimeSeries frames={frames} structureRev={1} timeRange={range} timeZone="utc" width={width} height={height}
        legend={lines} options={{}} />
    );
  };
  return (
    <div style={{ ...place, ...size }}>
      <PanelChrome title={panel.title} {...size} padding={panel.type === 'stat' ? 'none' : 'md'}>
        {(width, height) => <div style={{ display: 'flex' }}>{draw(width, height)}</div>}
      </PanelChrome>
    </div>
  );
}

const board = await (await fetch('syncd.json')).json();
document.body.style.margin = 0;
createRoot(document.body.appendChild(document.createElement('div'))).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <div style={{ background: theme.colors.background.canvas, position: 'relative', minHeight: '100vh' }}>
      {board.panels.map((panel) => (
        <Panel key={panel.id} panel={panel} column={Math.floor(innerWidth / 24)} />
      ))}
    </div>
  </ThemeContext.Provider>
);
