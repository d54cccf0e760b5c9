"""The PDE benchmark suite: frozen tasks, learned operators beside trivial and classical ones, honest tables.

    python -m benchmarks run s          train, score and time what is missing        python -m benchmarks report s
    python -m benchmarks compare s A B  differences with intervals                   python -m benchmarks verify s

`tasks` says what a task is and makes its data (`systems` of those without a grid); `contestants` who takes part, with `peers`,
`classics`, `trivial` and `readers`; `flops` what an answer costs in operations; `scoring` how answers are judged; `run` fills a
folder row by row; `statistics` and `standing` turn rows into statements; `page` writes them down.
"""
