;;; fimd-test-server.el --- Buffers with eglot, for the tests  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Code:

(require 'fimd-test-helper)
(require 'eglot)

(defun fimd-test-eglot ()
  "Let eglot manage the buffer; return its server."
  (let ((eglot-sync-connect t)
        (eglot-connect-timeout fimd-test-limit))
    (apply #'eglot (eglot--guess-contact))
    (fimd-test-until "eglot" (eglot-managed-p))
    (eglot-current-server)))

(defmacro fimd-test-with-fimd-as-server (name text &rest body)
  "Run BODY in a file NAME with TEXT whose eglot server is fimd."
  (declare (indent 2))
  `(save-window-excursion
     (fimd-daemon-stop)
     (let ((eglot-server-programs nil)
           (eglot-extend-to-xref nil)
           server)
       (fimd-eglot-register)
       (fimd-test-open ,name ,text)
       (unwind-protect
           (progn
             (setq server (fimd-test-eglot))
             ,@body)
         (ignore-errors (eglot-shutdown server))
         (set-buffer-modified-p nil)
         (kill-buffer)))))

(defun fimd-test-offer ()
  "All candidates at point in their order."
  (pcase-let* ((`(,beg ,end ,table . ,properties)
                (cdr (run-hook-wrapped 'completion-at-point-functions
                                       #'completion--capf-wrapper 'all)))
               (prefix (buffer-substring-no-properties beg end))
               (metadata (completion-metadata prefix table nil))
               (all (completion-all-completions prefix table (plist-get properties :predicate)
                                                (length prefix) metadata))
               (sort (completion-metadata-get metadata 'display-sort-function)))
    (when (consp all)
      (setcdr (last all) nil))
    (funcall (or sort #'identity) all)))

(provide 'fimd-test-server)
;;; fimd-test-server.el ends here
