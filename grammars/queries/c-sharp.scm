; Structs, records, enumerations, properties and constructors.
(struct_declaration name: (identifier) @name) @definition.class
(record_declaration name: (identifier) @name) @definition.class
(enum_declaration name: (identifier) @name) @definition.type
(property_declaration name: (identifier) @name) @definition.field
(constructor_declaration name: (identifier) @name) @definition.method
