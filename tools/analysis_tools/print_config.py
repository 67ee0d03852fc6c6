"""Print a config with everything it inherits and the options applied, after checking its keys.

vlprompt print-config coop_rn50 \
    --cfg-options model.prompt.n_ctx=4
vlprompt print-config lpt_micro-vit --phase groups

With --phase, prints the config of one phase; without it, the phases are under `phases`.
"""

from vlprompt.apis.command_line import ToolParser, add_common_options, add_phase_option, call


def main(argv: list[str] | None = None) -> None:
    parser = ToolParser(__doc__)
    add_common_options(parser)
    add_phase_option(parser, 'of a config with phases, print the config of this one')
    args = parser.parse_args(argv)

    from vlprompt.apis import runs  # takes seconds, which --help need not wait for

    cfg = runs.base_config(args)
    if args.phase is not None:
        cfg = runs.configs_by_phase(cfg, args)[args.phase]
    print(cfg.pretty_text)


if __name__ == '__main__':
    call(main)
