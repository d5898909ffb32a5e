;;; fimd-test-watch.el --- Files that other programs change  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; The daemon's own count of the files it has read, after a shell has changed them.

;;; Code:

(require 'fimd-test-server)

(defun fimd-test-files ()
  "How many files of the workspace, and tokens of them, the daemon has; nil while it reads."
  (let ((workspace (plist-get (fimd-test-ask :fimd/status nil) :workspace)))
    (when (eq (plist-get workspace :busy) :json-false)
      (list (plist-get workspace :files) (plist-get workspace :poolTokens)))))

(defun fimd-test-shell (command)
  "Run the shell COMMAND in the project's folder."
  (should (= 0 (call-process "sh" nil nil nil "-c" command))))

(defmacro fimd-test-until-files (what &rest body)
  "Wait until BODY, with files and tokens bound to the daemon's, is non-nil; WHAT says for what."
  (declare (indent 1))
  `(fimd-test-until ,what
     ;; In batch only this reads what the system tells of files.
     (read-event nil nil 0.05)
     (pcase (fimd-test-files)
       (`(,files ,tokens) (ignore files tokens) ,@body))))

(defun fimd-test-changes ()
  "Make, change and remove a file, and look what the daemon knows of it."
  (pcase-let ((`(,files-then ,tokens-then)
               (fimd-test-until-files "the files" (and (= files 2) (list files tokens)))))
    (ignore files-then)
    (fimd-test-shell "echo 'int another_one(void) { return 1; }' >three.c")
    (fimd-test-until-files "a new file" (and (= files 3) (> tokens tokens-then)))
    (let ((tokens-now (cadr (fimd-test-files))))
      (fimd-test-shell "echo 'int more_of_it(int with, int arguments) { return 7; }' >>three.c")
      (fimd-test-until-files "a longer file" (and (= files 3) (> tokens tokens-now))))
    (fimd-test-shell "rm three.c")
    (fimd-test-until-files "a file less" (= files 2))))

(defun fimd-test-folders ()
  "Move a file; make, move and remove folders, and look what the daemon knows of it."
  (fimd-test-shell "cp one.c three.c && mv three.c four.c && rm two.c")
  (fimd-test-until-files "a file for another" (= files 2))
  (fimd-test-shell "mv four.c two.c && rm two.c")
  (fimd-test-until-files "a moved file gone" (= files 1))
  (fimd-test-shell "cp one.c two.c")
  (fimd-test-until-files "it is there again" (= files 2))
  (fimd-test-shell "mkdir -p new/deep && echo 'int a_b(void);' >new/deep/f.c && cp one.c new/g.c")
  (fimd-test-until-files "the files of new folders" (= files 4))
  (fimd-test-shell "echo 'int c_d(void);' >new/deep/h.c")
  (fimd-test-until-files "a file in one of them" (= files 5))
  (fimd-test-shell "mv new old && rm old/g.c")
  (fimd-test-until-files "the files of a moved folder" (= files 4))
  (fimd-test-shell "rm -r old")
  (fimd-test-until-files "no folder" (= files 2))
  (fimd-test-shell "mkdir empty")
  (fimd-test-until "a watch of an empty folder"
    (read-event nil nil 0.05)
    (gethash (expand-file-name "empty/") fimd-watch--folders))
  (fimd-test-shell "echo 'int e_f(void);' >empty/i.c")
  (fimd-test-until-files "a file in it" (= files 3))
  (fimd-test-shell "rm -r empty")
  (fimd-test-until-files "no file in it" (= files 2)))

(ert-deftest fimd-80-own ()
  (fimd-daemon-stop)
  (let ((fimd-automatic nil))
    (fimd-test-open "w/two.c" "int two(void) { return 2; }\n|")
    (kill-buffer)
    (fimd-test-with "w/one.c" fimd-test-c
      (fimd-test-until "watches" (progn (read-event nil nil 0.05)
                                        (> (hash-table-count fimd-watch--folders) 0)))
      (fimd-test-changes)
      (fimd-test-folders)
      ;; Another project's folder is watched, too.
      (let ((mark (hash-table-count fimd-watch--folders)))
        (fimd-test-with "w2/five.c" fimd-test-c
          (fimd-test-until "more watches" (progn (read-event nil nil 0.05)
                                                 (> (hash-table-count fimd-watch--folders) mark)))
          (fimd-test-shell "echo 'int six(void);' >six.c")
          (fimd-test-until-files "a file there" (= files 4))))
      (fimd-daemon-stop)
      (should (= 0 (hash-table-count fimd-watch--folders))))))

(ert-deftest fimd-81-not-what-editors-leave ()
  (let ((fimd-watch--roots (list (cons fimd-test-folder (make-hash-table :test #'equal))))
        noted)
    (cl-letf (((symbol-function 'fimd-watch--soon) #'ignore))
      (dolist (name '("a.c~" "#a.c#" ".#a.c" "a.c"))
        (fimd-watch--event (list nil 'changed (expand-file-name name fimd-test-folder))))
      (maphash (lambda (file _) (push (file-name-nondirectory file) noted)) fimd-watch--changes)
      (clrhash fimd-watch--changes))
    (should (equal noted '("a.c")))))

(ert-deftest fimd-82-limit ()
  (fimd-daemon-stop)
  (let ((fimd-automatic nil)
        (fimd-watch-limit 1))
    (fimd-test-open "w3/a/b.c" "int b(void);\n|")
    (kill-buffer)
    (fimd-test-with "w3/c.c" fimd-test-c
      (fimd-test-until "a watch" (progn (read-event nil nil 0.05)
                                        (> (hash-table-count fimd-watch--folders) 0)))
      (should (equal (hash-table-keys fimd-watch--folders)
                     (list (expand-file-name "w3/" fimd-test-folder)))))
    (setq fimd-watch-limit 0)
    (fimd-daemon-stop)
    (fimd-test-with "w3/c.c" fimd-test-c
      (should-not fimd-watch--roots)))
  (fimd-daemon-stop))

(ert-deftest fimd-83-eglot ()
  "Eglot tells of files by itself, though not (1.17) of those that are renamed."
  (fimd-test-open "w4/two.c" "int two(void) { return 2; }\n|")
  (kill-buffer)
  (fimd-test-with-fimd-as-server "w4/one.c" fimd-test-c
    (fimd-mode 1)
    (fimd-test-changes)))

(provide 'fimd-test-watch)
;;; fimd-test-watch.el ends here
