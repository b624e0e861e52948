/** The look of the report: one style sheet, light and dark, from a phone to a desk. No font or picture is fetched. */

/** CSS of the page. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2327; --soft: #5d686f; --faint: #6a747a;
  --rule: #e5e2da; --wash: #f2efe8; --accent: #1f6f78; --accent-soft: #cfe3e3; --before: #b9b2a3;
  --right: #1c7a4a; --right-wash: #e4f3ea; --wrong: #b3402f; --wrong-wash: #fbe9e5;
  --line-1: #1f6f78; --line-2: #c46a2b; --line-3: #6a57a5; --line-4: #7a8a2a;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Source Serif 4", "Noto Serif", Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Code", "Roboto Mono", Menlo, Consolas, monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181a; --card: #1b2124; --ink: #e8e6e0; --soft: #a3adb1; --faint: #8a9499;
    --rule: #2d3539; --wash: #222a2e; --accent: #6cc0c6; --accent-soft: #24474b; --before: #6b6a63;
    --right: #6fce9b; --right-wash: #18352a; --wrong: #f08e7c; --wrong-wash: #3a2320;
    --line-1: #6cc0c6; --line-2: #eba36b; --line-3: #b0a0ea; --line-4: #bdcb6e;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 var(--sans); font-variant-numeric: tabular-nums; }
main, header, footer { max-width: 1080px; margin: 0 auto; padding: 0 32px; }
header { padding-top: 72px; }
.eyebrow { margin: 0 0 14px; color: var(--accent); font-size: 13px; font-weight: 600; letter-spacing: .09em; text-transform: uppercase; }
h1 { margin: 0; font: 500 clamp(32px, 5.2vw, 52px)/1.1 var(--serif); letter-spacing: -.015em; text-wrap: balance; }
.summary { max-width: 62ch; margin: 20px 0 0; color: var(--soft); font-size: 18px; text-wrap: pretty; }
.facts { display: flex; flex-wrap: wrap; gap: 10px 36px; margin: 30px 0 0; padding: 18px 0 0; border-top: 1px solid var(--rule); }
.facts div { min-width: 0; }
.facts dt { color: var(--faint); font-size: 13px; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
section { padding-top: 76px; }
h2 { margin: 0; font: 500 28px/1.2 var(--serif); letter-spacing: -.01em; }
.lead { max-width: 68ch; margin: 10px 0 28px; color: var(--soft); text-wrap: pretty; }
h3 { margin: 0; font-size: 15px; font-weight: 600; line-height: 1.35; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.empty { color: var(--faint); }

.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 16px; margin-top: 44px; }
.figure { padding: 20px 22px 22px; background: var(--card); border: 1px solid var(--rule); border-radius: 14px; }
.figure .name { color: var(--soft); font-size: 14px; }
.figure .now { margin: 8px 0 2px; font: 500 46px/1 var(--serif); letter-spacing: -.02em; }
.figure .now small { margin-left: 2px; color: var(--faint); font-size: 22px; }
.figure .was { color: var(--soft); font-size: 14px; }
.gain { white-space: nowrap; font-weight: 600; }
.gain.up { color: var(--right); } .gain.down { color: var(--wrong); } .gain.same { color: var(--faint); }

.patterns { width: 100%; border-collapse: collapse; }
.patterns th, .patterns td { padding: 11px 12px; border-bottom: 1px solid var(--rule); text-align: right; vertical-align: middle; }
.patterns th { color: var(--faint); font-size: 13px; font-weight: 500; }
.patterns th:first-child, .patterns td:first-child { padding-left: 0; text-align: left; }
.patterns td:last-child, .patterns th:last-child { padding-right: 0; }
.patterns .wide { width: 38%; }
.patterns tfoot td { border-bottom: 0; font-weight: 600; }
.track { position: relative; display: block; height: 20px; }
.track::before { content: ""; position: absolute; inset: 9px 0 auto; height: 2px; background: var(--rule); border-radius: 1px; }
.track i { position: absolute; }
.track .chance { top: 2px; width: 1px; height: 16px; background: var(--faint); opacity: .6; }
.track .reach { top: 8px; height: 4px; border-radius: 2px; background: var(--accent-soft); }
.track .from, .track .to { top: 4px; width: 12px; height: 12px; margin-left: -6px; border-radius: 50%; }
.track .from { background: var(--paper); border: 2px solid var(--before); }
.track .to { background: var(--accent); }
.key { display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 16px 0 0; color: var(--soft); font-size: 14px; }
.key span { display: inline-flex; align-items: center; gap: 8px; }
.key i { width: 12px; height: 12px; border-radius: 50%; }
.key .from { border: 2px solid var(--before); } .key .to { background: var(--accent); }
.key .chance { width: 1px; height: 16px; border-radius: 0; background: var(--faint); }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 20px; }
.panel { min-width: 0; padding: 20px 22px; background: var(--card); border: 1px solid var(--rule); border-radius: 14px; }
.panel h3 { margin-bottom: 10px; }
.chart { display: block; width: 100%; height: auto; font-family: var(--sans); }
.chart .rule { stroke: var(--rule); stroke-width: 1; }
.chart .tick { fill: var(--faint); font-size: 13px; }
.chart path { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.chart .noise { stroke-width: 1; opacity: .26; } .chart .line { stroke-width: 2.25; }
.chart path.line-1 { stroke: var(--line-1); } .chart path.line-2 { stroke: var(--line-2); }
.chart path.line-3 { stroke: var(--line-3); } .chart path.line-4 { stroke: var(--line-4); }
.chart .line.line-2 { stroke-dasharray: 7 5; } .chart .line.line-3 { stroke-dasharray: 2 5; } .chart .line.line-4 { stroke-dasharray: 10 4 2 4; }
.chart .name { font-size: 13.5px; font-weight: 600; }
.chart text.line-1 { fill: var(--line-1); } .chart text.line-2 { fill: var(--line-2); }
.chart text.line-3 { fill: var(--line-3); } .chart text.line-4 { fill: var(--line-4); }

.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 316px), 1fr)); gap: 20px; }
.pair { display: flex; flex-direction: column; padding: 18px; background: var(--card); border: 1px solid var(--rule); border-radius: 14px; }
.pair .tag { margin: 0 0 4px; color: var(--faint); font-size: 13px; }
.pair h3 { min-height: 2.7em; text-wrap: balance; }
.pictures { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; margin: 14px 0; }
.pictures figure, .found figure { position: relative; margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: 8px; outline: 1px solid rgb(128 128 128 / .22); outline-offset: -1px; }
.pictures figcaption { margin-top: 4px; color: var(--faint); font-size: 13px; font-weight: 600; text-align: center; }
.captions { display: grid; gap: 12px; margin: 0 0 16px; padding: 0; list-style: none; font-size: 15px; line-height: 1.4; }
.captions li { display: grid; grid-template-columns: 22px 1fr; gap: 2px 6px; }
.captions b { color: var(--faint); font-weight: 600; }
.chosen { grid-column: 2; display: flex; flex-wrap: wrap; gap: 4px 14px; font-size: 13px; }
.mark { white-space: nowrap; color: var(--wrong); } .mark.right { color: var(--right); }
.mark b { color: inherit; font-weight: 700; }
.verdict { margin: auto -18px -18px; padding: 9px 18px; border-radius: 0 0 13px 13px; background: var(--wrong-wash); color: var(--wrong); font-size: 14px; font-weight: 600; }
.verdict.right { background: var(--right-wash); color: var(--right); }

.queries { display: grid; gap: 20px; }
.query { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 9fr); gap: 26px; align-items: center; padding: 18px 22px; background: var(--card); border: 1px solid var(--rule); border-radius: 14px; }
.query blockquote { margin: 0; font: 17px/1.45 var(--serif); text-wrap: pretty; }
.query p { margin: 8px 0 0; font-size: 13px; }
.found { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 10px; margin: 0; padding: 0; list-style: none; }
.found figure { padding: 4px; border-radius: 12px; }
.found .right { box-shadow: inset 0 0 0 3px var(--right); }
.found .badge { position: absolute; right: -4px; top: -4px; width: 24px; height: 24px; border-radius: 50%; background: var(--right); color: var(--card); font-size: 14px; font-weight: 700; line-height: 24px; text-align: center; }

.scores { width: 100%; border-collapse: collapse; }
.scores th, .scores td { padding: 10px 12px; border-bottom: 1px solid var(--rule); text-align: right; }
.scores th { color: var(--faint); font-size: 13px; font-weight: 500; }
.scores th:first-child, .scores td:first-child { padding-left: 0; text-align: left; }
.scores td:last-child, .scores th:last-child { padding-right: 0; }
.scores .was { color: var(--soft); } .scores .both { white-space: nowrap; } .scores .gain { display: inline-block; min-width: 3.6em; }

.classes { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 16px; margin: 0; padding: 0; list-style: none; }
.classes li { min-width: 0; }
.classes .label { margin: 8px 0 0; font-size: 14px; font-weight: 600; line-height: 1.3; }
.classes .chosen { display: block; margin-top: 2px; line-height: 1.4; }
.classes .mark { display: block; white-space: normal; }

details { background: var(--card); border: 1px solid var(--rule); border-radius: 14px; }
details.kinds { margin-top: 24px; } .kinds .patterns { width: auto; margin: 0 22px 14px; min-width: calc(100% - 44px); } .kinds tr:last-child td { border-bottom: 0; }
summary { padding: 16px 22px; cursor: pointer; font-weight: 600; }
summary:focus-visible { outline: 2px solid var(--accent); outline-offset: -4px; border-radius: 12px; }
.settings { columns: 2; column-gap: 40px; margin: 0; padding: 4px 22px 20px; font: 13px/1.5 var(--mono); }
.settings div { display: flex; justify-content: space-between; gap: 16px; padding: 3px 0; border-bottom: 1px solid var(--wash); break-inside: avoid; }
.settings dt { color: var(--soft); } .settings dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
footer { padding-top: 64px; padding-bottom: 72px; color: var(--faint); font-size: 13px; }
footer p { max-width: 76ch; margin: 0 0 4px; }

@media (max-width: 720px) {
  main, header, footer { padding-left: 16px; padding-right: 16px; }
  header { padding-top: 40px; }
  section { padding-top: 56px; }
  .summary { font-size: 17px; }
  .figures { grid-template-columns: 1fr 1fr; gap: 12px; margin-top: 32px; }
  .figure { padding: 14px 16px 16px; } .figure .now { font-size: 34px; } .figure .now small { font-size: 18px; }
  .patterns thead { display: none; }
  .patterns, .patterns tbody, .patterns tfoot { display: block; }
  .patterns tr { display: grid; grid-template-columns: 1fr auto auto auto; gap: 0 12px; padding: 12px 0 8px; border-bottom: 1px solid var(--rule); }
  .patterns td { padding: 0; border: 0; }
  .patterns td:first-child { grid-column: 1 / -1; font-weight: 600; }
  .patterns .wide { grid-column: 1 / -1; grid-row: 3; width: auto; padding: 4px 6px 2px; }
  .patterns td[data-name]::before { content: attr(data-name) " "; color: var(--faint); font-size: 13px; font-weight: 400; }
  .pair h3 { min-height: 0; }
  .scores th, .scores td { padding: 10px 6px; } .scores .gain { display: block; }
  .panel { padding: 14px 12px; } .chart .tick { font-size: 16px; } .chart .name { font-size: 15px; }
  .query { grid-template-columns: minmax(0, 1fr); gap: 14px; padding: 16px; }
  .found { gap: 4px; } .found figure { padding: 3px; } .found .badge { width: 18px; height: 18px; font-size: 11px; line-height: 18px; }
  .classes { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px 12px; }
  .settings { columns: 1; padding: 4px 16px 16px; } details.kinds { margin-top: 24px; } .kinds .patterns { width: auto; margin: 0 22px 14px; min-width: calc(100% - 44px); } .kinds tr:last-child td { border-bottom: 0; }
summary { padding: 14px 16px; }
}
@media print { body { background: #fff; } .pair, .query, .panel, .figure { break-inside: avoid; } }
`;
