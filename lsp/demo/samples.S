/* The demo's files, as zero-terminated bytes in the binary. */
        .section .rodata
.macro sample name, file
        .global lsp__demo_\name
        .type lsp__demo_\name, @object
lsp__demo_\name:
        .incbin "\file"
        .byte 0
        .size lsp__demo_\name, . - lsp__demo_\name
.endm
        sample c, "lsp/demo/ring.c"
        sample py, "lsp/demo/inventory.py"
        sample ts, "lsp/demo/events.ts"
        sample go, "lsp/demo/cache.go"
        sample rs, "lsp/demo/matrix.rs"
        .section .note.GNU-stack, "", @progbits
