; Enumerations and constants.
(enum_declaration name: (name) @name) @definition.type
(const_declaration (const_element (name) @name)) @definition.constant
