;;; fimd-test-fit.el --- When a suggestion fits, with texts made here  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Ranges, closers and lines that the embedded model may not happen to write.  No daemon is asked.

;;; Code:

(require 'fimd-test-helper)
(require 'elec-pair)

(defmacro fimd-test-with-suggestion (text texts right &rest body)
  "Run BODY in a buffer with TEXT, where TEXTS are suggested at the bar.
They take the place of RIGHT characters after it."
  (declare (indent 3))
  `(save-window-excursion
     (with-temp-buffer
       (switch-to-buffer (current-buffer))
       (let ((fimd-program "false")
             (fimd-automatic nil)
             (fimd-daemon-state 'failed))
         (insert ,text)
         (goto-char (point-min))
         (search-forward "|")
         (delete-char -1)
         (fimd-mode 1)
         (fimd-ghost-show (fimd-ghost-make ,texts (point) (+ (point) ,right) 1 t))
         ,@body
         (fimd-mode -1)))))

(defun fimd-test-is (text)
  "Whether the buffer is TEXT with point at the bar."
  (should (equal (concat (buffer-substring-no-properties (point-min) (point)) "|"
                         (buffer-substring-no-properties (point) (point-max)))
                 text)))

(ert-deftest fimd-50-put-back ()
  "What would be put back as it was is left alone."
  (fimd-test-with-suggestion "f(|);" '("a, b)") 1
    (should (equal (fimd-test-ghost) "a, b"))
    (should (= fimd-ghost-hidden 0))
    (fimd-test-keys "TAB")
    (fimd-test-is "f(a, b|);")))

(ert-deftest fimd-51-replaced ()
  "What is replaced is hidden while the ghost shows."
  (fimd-test-with-suggestion "x = f(|)" '("a)[0];") 1
    (should (equal (fimd-test-ghost) "a)[0];"))
    (should (= fimd-ghost-hidden 1))
    (fimd-test-keys "M-f")
    (fimd-test-is "x = f(a|)")
    (should (equal (fimd-test-ghost) ")[0];"))
    (fimd-test-keys "TAB")
    (fimd-test-is "x = f(a)[0];|")
    (should-not (fimd-test-ghost))))

(ert-deftest fimd-59-taken-in-one-change ()
  "Also where something is replaced; the daemon knows by it that the text was taken."
  (dolist (case '(("x = f(|)" "a)[0];" 1) ("x = f(|" "a);" 0)))
    (pcase-let ((`(,text ,ghost ,right) case)
                (changes nil))
      (fimd-test-with-suggestion text (list ghost) right
        (let ((count (lambda (beg end length) (push (list (- end beg) length) changes))))
          (add-hook 'after-change-functions count nil t)
          (fimd-test-keys "TAB")
          (remove-hook 'after-change-functions count t))
        (should (equal changes (list (list (length ghost) right))))
        (should (eobp))))))

(ert-deftest fimd-52-electric-pairs ()
  "An opener that is typed through brings its closer."
  (fimd-test-with-suggestion "x = |\n" '("foo(a, b);") 0
    (electric-pair-local-mode 1)
    (fimd-test-type "foo(")
    (fimd-test-is "x = foo(|)\n")
    (should (equal (fimd-test-ghost) "a, b);"))
    (should (= fimd-ghost-hidden 1))
    (fimd-test-type "a, ")
    (should (equal (fimd-test-ghost) "b);"))
    (fimd-test-keys "TAB")
    (fimd-test-is "x = foo(a, b);|\n"))
  (fimd-test-with-suggestion "x = |\n" '("foo(a, b)") 0
    (electric-pair-local-mode 1)
    (fimd-test-type "foo(a, b")
    (should-not (fimd-test-ghost))
    (fimd-test-type ")")
    (fimd-test-is "x = foo(a, b)|\n")))

(ert-deftest fimd-53-narrowed ()
  "The line may go on outside of what is seen."
  (fimd-test-with-suggestion "one\nx = |; // end\nthree\n" '("1 + 2") 0
    (narrow-to-region (pos-bol) (point))
    (fimd-test-type "1")
    (should (equal (fimd-test-ghost) " + 2"))
    (fimd-test-keys "TAB")
    (widen)
    (fimd-test-is "one\nx = 1 + 2|; // end\nthree\n")))

(ert-deftest fimd-54-several-lines ()
  "Typing through line ends; words and lines of a text of several."
  (fimd-test-with-suggestion "if (a) |\nend\n" '("{\n  b();\n}") 0
    (electric-indent-local-mode -1)
    (fimd-test-type "{\n  ")
    (should (equal (fimd-test-ghost) "b();\n}"))
    (fimd-test-keys "C-e")
    (fimd-test-is "if (a) {\n  b();|\nend\n")
    (fimd-test-keys "M-f")
    (fimd-test-is "if (a) {\n  b();\n}|\nend\n")
    (should-not (fimd-test-ghost))))

(ert-deftest fimd-55-multibyte ()
  (fimd-test-with-suggestion "s = \"é😀|\"\n" '("漢字 né😀e!") 0
    (fimd-test-type "漢")
    (should (equal (fimd-test-ghost) "字 né😀e!"))
    (fimd-test-keys "M-f")
    (fimd-test-is "s = \"é😀漢字|\"\n")
    (fimd-test-keys "M-f M-f")
    (fimd-test-is "s = \"é😀漢字 né😀|\"\n")))

(ert-deftest fimd-56-another-line-and-another-text ()
  (fimd-test-with-suggestion "a\nx |\nb\n" '("= 1;" "= 2;" "+= 1;") 0
    (fimd-test-type "= ")
    (should (equal (fimd-test-ghost) "1;"))
    ;; What does not go on from the typed text is left out.
    (fimd-test-keys "M-n")
    (should (equal (fimd-test-ghost) "2;"))
    (fimd-test-keys "M-n")
    (should (equal (fimd-test-ghost) "1;"))
    ;; An edit above, made by no command, ends it at once.
    (save-excursion
      (goto-char (point-min))
      (insert "z"))
    (should-not (fimd-test-ghost))
    (fimd-test-is "za\nx = |\nb\n")))

(ert-deftest fimd-57-keys-are-free-otherwise ()
  (fimd-test-with-suggestion "x |" '("= 1;") 0
    (should (eq (key-binding (kbd "M-f")) 'fimd-accept-word))
    (should (eq (key-binding (kbd "C-e")) 'fimd-accept-line))
    (fimd-test-keys "C-g")
    (dolist (key '("TAB" "M-f" "C-e" "M-n" "M-p" "C-g"))
      (should-not (string-prefix-p "fimd" (format "%s" (key-binding (kbd key))))))
    (should-error (fimd-accept) :type 'user-error)))

(ert-deftest fimd-58-lines-come-later ()
  "A first line does not shorten what goes on from it; the last word may."
  (fimd-test-with-suggestion "f |" '("{\n  a();\n}") 0
    (let ((make (lambda (text final) (fimd-ghost-make (list text) (point) (point) 2 final))))
      (should (fimd-ghost-show (funcall make "{" nil)))
      (should (equal (fimd-test-ghost) "{\n  a();\n}"))
      (should-not (fimd-ghost-final fimd-ghost))
      (should (fimd-ghost-show (funcall make "{\n  b();" nil)))
      (should (equal (fimd-test-ghost) "{\n  b();"))
      (should (fimd-ghost-show (funcall make "{" t)))
      (should (equal (fimd-test-ghost) "{"))
      (should-not (fimd-ghost-show nil))
      (should-not (fimd-test-ghost)))))

(provide 'fimd-test-fit)
;;; fimd-test-fit.el ends here
