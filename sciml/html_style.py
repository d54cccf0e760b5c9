"""The style sheet of report pages: readable on paper, light and dark."""

STYLE = """
:root{--paper:#fcfcfb;--card:#ffffff;--ink:#1d2126;--muted:#626b76;--line:#e3e5e8;--soft:#f3f4f5;--accent:#2457c5;
--c0:#2a66d9;--c1:#e0742a;--c2:#8a52c7;--c3:#1f9a73;--c4:#c93d5b;--c5:#a07d14;--c6:#1b93ad;--c7:#9a6b4f;--classical:#4a525c}
@media(prefers-color-scheme:dark){:root{--paper:#14171b;--card:#1b1f25;--ink:#e7e9ec;--muted:#9aa3ae;--line:#30363e;--soft:#232830;
--accent:#8ab0ff;--c0:#6a9cff;--c1:#ff9d57;--c2:#bd8cf2;--c3:#4fcf9f;--c4:#ff7c97;--c5:#dcb64a;--c6:#57c7df;--c7:#cfa184;
--classical:#aeb6c0}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 28px 64px}
h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:19px;margin:44px 0 10px;letter-spacing:-.005em}
p{margin:8px 0;max-width:78ch}
.lead{color:var(--muted);margin:0 0 4px}
.muted,figcaption,.note{color:var(--muted);font-size:14px}
code,pre{font:13.5px/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
pre{background:var(--soft);padding:12px 14px;border-radius:8px;overflow-x:auto;margin:8px 0}
.verdict{border-left:4px solid var(--accent);background:var(--card);padding:12px 20px;margin:22px 0 0;border-radius:0 8px 8px 0;
box-shadow:0 0 0 1px var(--line)}
.verdict ul{margin:0;padding-left:18px}.verdict li{margin:5px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14.5px}
th,td{padding:7px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--muted);font-weight:600;font-size:13px;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}
td b{font-weight:650}
td i.dot,td i.square,.legend i{display:inline-block;width:10px;height:10px;margin-right:8px}
i.dot{border-radius:50%}
.interval{color:var(--muted);font-size:12.5px}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(380px,1fr));gap:26px}
figure{margin:0}figcaption{margin-top:2px}
svg{width:100%;height:auto;display:block}
svg .grid{stroke:var(--line)}svg .tick{fill:var(--muted);font-size:12px}svg .label{fill:var(--ink);font-size:13px}
svg .mark{fill:var(--ink);font-size:12px;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
svg .level{stroke:var(--muted);stroke-dasharray:2 4}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--muted);padding:4px 0 0 8px}
.legend i{margin-right:6px}
.samples>input{position:absolute;opacity:0}
.samples>label{display:inline-block;padding:4px 14px;margin:0 6px 10px 0;border:1px solid var(--line);border-radius:99px;
cursor:pointer;font-size:14px;color:var(--muted);background:var(--card)}
.samples>input:checked+label{color:var(--paper);background:var(--ink);border-color:var(--ink)}
.samples>input:focus-visible+label{outline:2px solid var(--accent);outline-offset:2px}
.sample{display:none;grid-template-columns:repeat(var(--count,1),minmax(112px,220px));gap:16px 12px;overflow-x:auto}
.sample>.pair,.sample>.bars{grid-column:1/-1}
.tile img{width:100%;display:block;border-radius:4px;image-rendering:pixelated;aspect-ratio:var(--ratio,1)}
.tile img+img{margin-top:6px}
.tile .name{font-size:13.5px;font-weight:600;margin-bottom:4px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.tile .number{font-size:13px;color:var(--muted);margin-top:3px;font-variant-numeric:tabular-nums}
.bars{display:flex;flex-wrap:wrap;gap:6px 28px;margin:14px 0 0;font-size:13px;color:var(--muted);align-items:center}
.bars img{width:128px;height:10px;border-radius:3px;margin:0 7px;vertical-align:middle}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;font-size:14.5px;margin:8px 0}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
@media print{.samples>label{display:none}.sample{display:grid!important;margin-bottom:20px}body{font-size:12px}}
"""


def tabs(count: int) -> str:
    """Rules that show the sample whose tab is chosen."""
    rules = [f"#sample{i}:checked~.sample:nth-of-type({i + 1}){{display:grid}}" for i in range(count)]
    return "".join(rules)
