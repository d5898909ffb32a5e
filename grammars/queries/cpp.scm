; What C++'s own tags leave out: macros, constants, aliases and namespaces.
(preproc_def name: (identifier) @name) @definition.macro
(preproc_function_def name: (identifier) @name) @definition.macro
(enumerator name: (identifier) @name) @definition.constant
(alias_declaration name: (type_identifier) @name) @definition.type
(namespace_definition name: (namespace_identifier) @name) @definition.module
(union_specifier name: (type_identifier) @name body: (_)) @definition.class
