; Constants, variables of the package, and an interface's methods.
(const_spec name: (identifier) @name) @definition.constant
(source_file (var_declaration (var_spec name: (identifier) @name) @definition.variable))
(method_elem name: (field_identifier) @name) @definition.method
