;;; fimd-test-helper.el --- What the tests of fimd.el share  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Keys go through Emacs's own command loop, so that keymaps and hooks are those of a user.  A test
;; waits for what is to be, with a generous limit, and never for a time.

;;; Code:

(require 'cl-lib)
(require 'ert)
(require 'fimd)

(defvar fimd-test-folder (file-name-as-directory (make-temp-file "fimd-test-" t)))
(defvar fimd-test-limit (string-to-number (or (getenv "FIMD_TEST_LIMIT") "120"))
  "Seconds after which waiting is a failure.")

(setq fimd-program (or (getenv "FIMD") "fimd")
      ;; The limit is for its own test; the others may not use it up.
      fimd-restart-limit 100
      make-backup-files nil
      auto-save-default nil
      create-lockfiles nil
      vc-handled-backends nil
      ;; A project is where this file is.
      project-vc-extra-root-markers '(".project"))

(defmacro fimd-test-until (what &rest body)
  "Wait until BODY is non-nil, and return it; WHAT says in a failure what it is."
  (declare (indent 1))
  `(let ((end (+ (float-time) fimd-test-limit)) value)
     (while (and (not (setq value (progn ,@body))) (< (float-time) end))
       (accept-process-output nil 0.005))
     (unless value
       (ert-fail (list "waited in vain for" ,what (buffer-string) fimd-ghost-shown
                       fimd-daemon-state fimd-daemon-detail)))
     value))

(defun fimd-test-keys (keys)
  "Press KEYS, in the notation of `kbd'."
  (execute-kbd-macro (kbd keys)))

(defun fimd-test-type (text)
  "Type TEXT key by key."
  (seq-do (lambda (char) (execute-kbd-macro (vector (if (eq char ?\n) ?\r char)))) text))

(defun fimd-test-overlay ()
  "The one overlay of ours in the buffer, nil where there is none."
  (let ((all (seq-filter (lambda (overlay) (overlay-get overlay 'fimd))
                         (overlays-in (point-min) (1+ (point-max))))))
    (should-not (cdr all))
    (car all)))

(defun fimd-test-ghost ()
  "The ghost text as its overlay shows it, nil where there is none."
  (when-let* ((overlay (fimd-test-overlay)))
    (should (= (overlay-start overlay) (point)))
    (substring-no-properties (or (overlay-get overlay 'after-string)
                                 (overlay-get overlay 'display)))))

(defun fimd-test-idle-p ()
  "Whether nothing is asked for or to come."
  (not (or fimd--pending fimd--timer fimd--wanted
           (and fimd-ghost (not (fimd-ghost-final fimd-ghost))))))

(defun fimd-test-settle ()
  "Wait until nothing is asked for any more; return the ghost text."
  (fimd-test-until "an answer" (fimd-test-idle-p))
  (fimd-test-ghost))

(defun fimd-test-ask (method params)
  "What the buffer's daemon answers to METHOD with PARAMS."
  (jsonrpc-request (car (fimd--connection)) method params))

(defun fimd-test-taken ()
  "What the buffer's daemon saw taken so far: (ACCEPTED WHOLE WORDS TYPED-THROUGH)."
  (let ((taken (plist-get (plist-get (fimd-test-ask :fimd/status nil) :statistics) :acceptance)))
    (mapcar (lambda (key) (plist-get taken key)) '(:accepted :whole :words :typedThrough))))

(defun fimd-test-taking ()
  "Take ghost text behind a typed blank, first whole and then by a word and a key.
Look whether the daemon sees each for what it is."
  (cl-flet ((more (before) (cl-mapcar #'- (fimd-test-taken) before)))
    (fimd-test-type " ")
    (fimd-test-until "a ghost" (fimd-test-settle))
    (let ((before (fimd-test-taken)))
      (fimd-test-keys "TAB")
      (should (equal (more before) '(1 1 0 0))))
    (fimd-test-settle)
    (fimd-test-keys "C-a C-k")
    (fimd-test-type "  if (r->data == NULL) ")
    (fimd-test-until "a ghost" (fimd-test-settle))
    (let ((before (fimd-test-taken))
          (ghost (fimd-test-ghost)))
      ;; Asking makes Emacs send what it has not sent: not before the end.
      (fimd-test-keys "M-f")
      (fimd-test-type (substring (fimd-test-ghost) 0 1))
      (should (equal (more before) '(1 0 1 1)))
      (should (string-suffix-p (fimd-test-ghost) ghost)))))

(defvar fimd-test-said "" "All that was said in the echo area; *Messages* folds what repeats.")

(defun fimd-test-hear (format &rest arguments)
  "Note the message FORMAT with ARGUMENTS, if it is seen."
  (when (and format (not inhibit-message))
    (setq fimd-test-said (concat fimd-test-said
                                 (apply #'format-message format arguments) "\n"))))
(advice-add 'message :before #'fimd-test-hear)

(defun fimd-test-messages ()
  "What was said so far; errors in hooks are in *Messages* alone."
  (concat fimd-test-said
          (with-current-buffer (messages-buffer)
            (string-join (seq-filter (lambda (line) (string-match-p "rror in" line))
                                     (split-string (buffer-string) "\n"))
                         "\n"))))

(defun fimd-test-open (name text)
  "Visit a new file NAME with TEXT, point where it has a bar, which goes."
  (let ((file (expand-file-name name fimd-test-folder)))
    (make-directory (file-name-directory file) t)
    (write-region "" nil (expand-file-name ".project" (file-name-directory file)) nil 'quiet)
    (write-region (string-replace "|" "" text) nil file nil 'quiet)
    (switch-to-buffer (find-file-noselect file))
    (goto-char (1+ (string-search "|" text)))
    (buffer-enable-undo)))

(defmacro fimd-test-with (name text &rest body)
  "Run BODY in `fimd-mode' in a new file NAME with TEXT."
  (declare (indent 2))
  `(save-window-excursion
     (fimd-test-open ,name ,text)
     (unwind-protect
         (progn
           (fimd-mode 1)
           (fimd-test-until "a ready daemon" (eq fimd-daemon-state 'ready))
           ,@body)
       (set-buffer-modified-p nil)
       (kill-buffer))))

(defconst fimd-test-c
  "#include <stdbool.h>
#include <stdlib.h>

struct ring {
  unsigned char *data;
  size_t capacity;
  size_t count;
};

bool ring_init(struct ring *r, size_t capacity) {
  r->data = malloc(capacity);
  if (r->data == NULL)|
  r->capacity = capacity;
  r->count = 0;
  return true;
}
"
  "C, where the embedded model knows what follows.")

(add-hook 'kill-emacs-hook (lambda ()
                             (fimd-daemon-stop)
                             (delete-directory fimd-test-folder t)))

(provide 'fimd-test-helper)
;;; fimd-test-helper.el ends here
