; The grammar comes without tags: the keys of the outermost object.
(document (object (pair key: (string (string_content) @name)) @definition.field))
