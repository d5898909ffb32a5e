;;; fimd-test-lint.el --- The package is as Emacs users expect it  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Byte-compiles and checks the files that are named on the command line, where they are.
;; package-lint is asked where there is one in `load-path'.

;;; Code:

(require 'bytecomp)
(require 'cl-lib)
(require 'checkdoc)

(defvar fimd-lint-failures 0)

(defun fimd-lint-check (what problems)
  "Print a line about WHAT, and its PROBLEMS."
  (princ (format "%s %s\n" (if problems "FAIL" "ok  ") what))
  (dolist (problem problems)
    (cl-incf fimd-lint-failures)
    (princ (format "     %s\n" problem))))

(defun fimd-lint-compile (file)
  "The warnings of byte-compiling FILE."
  (let (problems)
    (cl-letf (((symbol-function 'byte-compile-log-warning)
               (lambda (text &rest _) (push text problems))))
      (unless (byte-compile-file file)
        (push "it does not compile" problems)))
    problems))

(defun fimd-lint-doc (file)
  "What checkdoc finds in FILE."
  (let* (problems
         (checkdoc-create-error-function
          (lambda (text start _end &optional _unfixable)
            (push (format "line %s: %s" (if start (line-number-at-pos start) "?") text) problems)
            nil)))
    (with-current-buffer (find-file-noselect file)
      (let ((inhibit-message t))
        (checkdoc-current-buffer t))
      (kill-buffer))
    problems))

(defun fimd-lint-width (file)
  "The lines of FILE that are too wide."
  (with-temp-buffer
    (insert-file-contents file)
    (cl-loop for line in (split-string (buffer-string) "\n")
             for i from 1
             when (> (string-width line) 100) collect (format "line %d is too wide" i))))

(defun fimd-lint-package (file main)
  "What package-lint finds in FILE of the package whose main file is MAIN."
  (with-current-buffer (find-file-noselect file)
    (emacs-lisp-mode)
    (set 'package-lint-main-file main)
    (prog1
        (cl-loop for (line _column _type text) in (funcall 'package-lint-buffer)
                 ;; Older versions do not know that Emacs 30 is out; there is no public
                 ;; address to be named yet.
                 unless (string-match-p "uninstallable in all released\\|URL" text)
                 collect (format "line %s: %s" line text))
      (kill-buffer))))

(let ((files command-line-args-left)
      (linter (require 'package-lint nil t)))
  (setq command-line-args-left nil)
  (dolist (file files)
    (let ((name (file-name-nondirectory file)))
      (fimd-lint-check (format "%s byte-compiles without warnings" name)
                       (fimd-lint-compile file))
      (fimd-lint-check (format "%s: checkdoc" name) (fimd-lint-doc file))
      (fimd-lint-check (format "%s: at most 100 columns" name) (fimd-lint-width file))
      (when linter
        (fimd-lint-check (format "%s: package-lint" name)
                         (fimd-lint-package file (expand-file-name "fimd.el"))))))
  (unless linter
    (princ "skipped: package-lint, which is not installed\n"))
  (kill-emacs (if (zerop fimd-lint-failures) 0 1)))

;;; fimd-test-lint.el ends here
