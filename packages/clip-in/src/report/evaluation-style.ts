/** What the page of an evaluation adds to the look of reports. */

/** CSS, after `STYLE`. */
export const EVALUATION_STYLE = `
a.figure { display: block; color: inherit; text-decoration: none; }
a.figure:hover { border-color: var(--accent); } a.figure:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.figure .was { line-height: 1.4; }
.warn { color: var(--wrong); font-weight: 600; }
.failed { margin: 28px 0 0; padding: 14px 18px; border-radius: 12px; background: var(--wrong-wash); color: var(--ink); overflow-wrap: anywhere; white-space: pre-line; }
.notes { max-width: 68ch; margin: -14px 0 24px; padding-left: 18px; color: var(--soft); font-size: 15px; }
.own .wide { width: 46%; }
.track .other { top: 6px; width: 8px; height: 8px; margin-left: -4px; border-radius: 50%; background: var(--before); opacity: .55; }
.key .other { width: 8px; height: 8px; background: var(--before); }
h3.beside { margin: 44px 0 12px; }
.scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: 14px; background: var(--card); }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table.beside td:last-child, table.beside th:last-child { padding-right: 18px; }
table.beside { width: 100%; border-collapse: collapse; font-size: 14px; }
.beside th, .beside td { padding: 9px 7px; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
.beside thead th { color: var(--faint); font-size: 12px; font-weight: 500; line-height: 1.3; vertical-align: bottom; white-space: normal; min-width: 54px; max-width: 96px; }
.beside th:first-child { position: sticky; left: 0; z-index: 1; padding-left: 18px; background: var(--card); text-align: left; font-weight: 500; }
.beside tbody th { min-width: 246px; max-width: 320px; white-space: normal; }
.beside small { display: block; color: var(--faint); font-size: 12px; font-weight: 400; line-height: 1.35; }
.beside tbody tr:last-child > * { border-bottom: 0; }
.beside .this > *, .beside .this th:first-child { background: var(--wash); } .beside .this th { font-weight: 650; color: var(--accent); }
.beside .best { font-weight: 700; } .beside .none { color: var(--faint); }
details.more { margin-top: 20px; } .more .patterns { width: auto; min-width: calc(100% - 44px); margin: 0 22px 14px; } .more .patterns tr:last-child td { border-bottom: 0; }
.skipped { margin: 0; padding: 0 22px 18px 40px; font-size: 14px; overflow-wrap: anywhere; } .skipped b { font-weight: 600; }
@media (max-width: 720px) {
  .own tr, .more .patterns tr { grid-template-columns: 1fr auto; }
  .own .wide, .more .patterns .wide { width: auto; }
  .beside tbody th { min-width: 150px; }
}
`;
