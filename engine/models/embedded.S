/* The embedded model, as bytes in the binary: fimd__embedded_model .. fimd__embedded_model_end.
 * Pages are read from disk only when touched, as with mmap. */
        .section .rodata
        .balign 64
        .global fimd__embedded_model
        .type fimd__embedded_model, @object
fimd__embedded_model:
        .incbin "engine/models/fimd-mini-31m-q8_0.gguf"
        .global fimd__embedded_model_end
fimd__embedded_model_end:
        .byte 0
        .size fimd__embedded_model, . - fimd__embedded_model
        .section .note.GNU-stack, "", @progbits
