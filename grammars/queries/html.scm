; The grammar comes without tags: elements that have an id.
((element
   (start_tag
     (attribute
       (attribute_name) @_attribute
       (quoted_attribute_value (attribute_value) @name)))) @definition.class
 (#eq? @_attribute "id"))
