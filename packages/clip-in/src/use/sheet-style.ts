/** The look of a contact sheet: one style sheet, light and dark, from a phone to a desk. No font or picture is fetched. */

/** CSS of the page. */
export const SHEET_STYLE = `
:root {
  color-scheme: light dark;
  --paper: #f6f5f2; --card: #ffffff; --ink: #1d2327; --soft: #5d686f; --rule: #e2dfd8; --accent: #1f6f78; --wash: #ecebe6;
}
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181a; --card: #1d2326; --ink: #ece9e2; --soft: #a3adb1; --rule: #2d3539; --accent: #6cc0c6; --wash: #252c30; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif; font-variant-numeric: tabular-nums; }
header, main { max-width: 1400px; margin: 0 auto; padding: 0 28px; }
header { display: flex; align-items: center; gap: 24px; padding-top: 40px; padding-bottom: 28px; }
header .asked { flex: none; width: 112px; height: 112px; object-fit: contain; background: var(--wash); border-radius: 10px; }
h1 { margin: 0; font: 500 clamp(24px, 3.4vw, 36px)/1.2 "Iowan Old Style", "Palatino Linotype", Palatino, "Noto Serif", Georgia, serif; letter-spacing: -.01em; text-wrap: balance; overflow-wrap: anywhere; }
header p { max-width: 80ch; margin: 8px 0 0; color: var(--soft); overflow-wrap: anywhere; }
header p b { color: var(--ink); font-weight: 600; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 200px), 1fr)); gap: 18px; margin: 0; padding: 0 0 56px; list-style: none; }
li { min-width: 0; padding: 10px 10px 12px; background: var(--card); border: 1px solid var(--rule); border-radius: 12px; }
li a { display: grid; place-items: center; aspect-ratio: 1; overflow: hidden; background: var(--wash); border-radius: 7px; color: inherit; text-decoration: none; }
li a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
li img { display: block; width: 100%; height: 100%; object-fit: contain; }
.lost { padding: 12px; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; text-align: center; }
li p { margin: 0; }
li .name { display: -webkit-box; min-height: 2.6em; margin: 9px 0 4px; overflow: hidden; line-height: 1.3; overflow-wrap: anywhere; -webkit-box-orient: vertical; -webkit-line-clamp: 2; }
.name b { color: var(--soft); font-weight: 500; }
.score { display: flex; align-items: center; gap: 10px; color: var(--soft); font-size: 13px; }
.bar { flex: 1; height: 4px; overflow: hidden; background: var(--wash); border-radius: 2px; }
.bar i { display: block; height: 100%; background: var(--accent); }
@media (max-width: 560px) {
  header, main { padding-left: 14px; padding-right: 14px; }
  ol { grid-template-columns: 1fr 1fr; gap: 10px; }
  li { padding: 7px 7px 9px; }
}
@media print { li { break-inside: avoid; } }
`;
