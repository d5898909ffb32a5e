/* queries.S - the grammars' tags queries, each with our own additions, as C strings.
 *
 * A query may build on another language's: TypeScript's tags are written to be read together
 * with JavaScript's, as its package declares. C++'s own already repeat C's. */

.macro query name:req, files:vararg
  .global grammars__tags_\name
grammars__tags_\name:
  .irp file, \files
  .incbin "\file"
  .byte 10
  .endr
  .byte 0
.endm

  .section .rodata
  query bash, grammars/queries/bash.scm
  query c, c/queries/tags.scm, grammars/queries/c.scm
  query c_sharp, c-sharp/queries/tags.scm, grammars/queries/c-sharp.scm
  query cpp, cpp/queries/tags.scm, grammars/queries/cpp.scm
  query css, grammars/queries/css.scm
  query go, go/queries/tags.scm, grammars/queries/go.scm
  query html, grammars/queries/html.scm
  query java, java/queries/tags.scm, grammars/queries/java.scm
  query javascript, javascript/queries/tags.scm, grammars/queries/javascript.scm
  query json, grammars/queries/json.scm
  query lua, lua/queries/tags.scm
  query php, php/queries/tags.scm, grammars/queries/php.scm
  query python, python/queries/tags.scm
  query ruby, ruby/queries/tags.scm
  query rust, rust/queries/tags.scm, grammars/queries/rust.scm
  query typescript, javascript/queries/tags.scm, grammars/queries/javascript.scm, typescript/queries/tags.scm, grammars/queries/typescript.scm

  .section .note.GNU-stack, "", %progbits
